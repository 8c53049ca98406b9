import { syncBuiltinESMExports } from 'node:module'
import os, { type NetworkInterfaceInfo } from 'node:os'
import type { Registration, RegistryOptions, ServiceInstance, ServiceOptions } from '@etcd-register/core'
import { afterEach, expect, it, vi } from 'vitest'
import { row, rows } from '../support/etcdctl-table.ts'
import { leaseOf } from '../support/lease-of.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import {
  aLink,
  anEtcd,
  aRegistry,
  type Cleanup,
  registered,
  statusOf,
  untilExactly,
} from '../support/write-side.ts'

forbidUnhandled()

/** The only interface of this machine has this address; none: there is no interface. */
function haveAddress(...addresses: string[]): void {
  const infos = addresses.map(
    address => ({ address, family: 'IPv4', internal: false }) as NetworkInterfaceInfo,
  )
  vi.spyOn(os, 'networkInterfaces').mockReturnValue({ eth0: infos })
  syncBuiltinESMExports()
}

afterEach(() => {
  vi.restoreAllMocks()
  syncBuiltinESMExports()
})

async function atAnAddress(
  test: Cleanup,
  service: Partial<ServiceOptions> = {},
  options: RegistryOptions = {},
) {
  haveAddress('198.51.100.1')
  const etcd = await anEtcd(test)
  const link = await aLink(test, etcd)
  const registry = aRegistry(test, link, options)
  const registration = await registered(registry, { name: 'orders', port: 8000, ...service })
  // What breaks before it is there is no connection that broke.
  await until(async () => (await etcd.metrics()).get('etcd_debugging_mvcc_watcher_total') === 1)
  const moves: [string, string][] = []
  registration.on('moved', (now, before) => moves.push([before.id, now.id]))
  return { etcd, link, registry, registration, moves }
}

const moved = (registration: Registration) =>
  new Promise<ServiceInstance>(resolve => registration.once('moved', resolve))

it('an instance whose machine has another address after a reconnect moves there in one transaction', async test => {
  const { etcd, link, registry, registration, moves } = await atAnAddress(test)
  expect(statusOf(registry, registration).address).toBe('only-interface')
  const first = (await row(etcd))!
  expect(first.key).toBe('/services/orders/198.51.100.1:8000')

  haveAddress('198.51.100.2')
  const arrived = moved(registration)
  link.drop()
  expect(await arrived).toMatchObject({
    host: '198.51.100.2',
    id: '198.51.100.2:8000',
    endpoints: ['http://198.51.100.2:8000'],
  })
  const [second] = await untilExactly(etcd, [registration])
  expect(second!.key).toBe('/services/orders/198.51.100.2:8000')
  const before = await etcd.etcdctl(
    'get',
    '--prefix',
    '/',
    '--keys-only',
    '--rev',
    String(second!.createRevision - 1),
  )
  expect(before.trim()).toBe(first.key)
  expect(moves).toEqual([['198.51.100.1:8000', '198.51.100.2:8000']])
  expect(
    registry.warnings.filter(text => text.includes('changed from 198.51.100.1 to 198.51.100.2')),
  ).toHaveLength(1)
  expect(statusOf(registry, registration)).toMatchObject({
    address: 'only-interface',
    id: '198.51.100.2:8000',
  })

  await registration.suspend()
  await registration.deregister()
  await untilExactly(etcd, [])
})

it('an instance whose machine has another address after its lease was lost moves there', async test => {
  const { etcd, registry, registration } = await atAnAddress(test)
  haveAddress('198.51.100.2')
  const arrived = moved(registration)
  await etcd.etcdctl('lease', 'revoke', leaseOf(registry).id!)
  await arrived
  await untilExactly(etcd, [registration])
})

it('an instance with an id of its own keeps its key when it moves', async test => {
  const { etcd, link, registration, moves } = await atAnAddress(test, { id: 'mine' })
  haveAddress('198.51.100.2')
  const arrived = moved(registration)
  link.drop()
  await arrived
  const [found] = await untilExactly(etcd, [registration])
  expect(found).toMatchObject({ key: '/services/orders/mine', version: 2 })
  expect(JSON.parse(found!.value).endpoints).toEqual(['http://198.51.100.2:8000'])
  expect(moves).toEqual([['mine', 'mine']])
})

it('an instance does not move where its host was given, or where the machine has no address for now', async test => {
  // A third of this is how often the addresses are looked at while nothing else happens.
  const ttl = 6
  const { etcd, link, registry, registration, moves } = await atAnAddress(test, {}, { ttl })
  const given = await registered(registry, { name: 'given', port: 8000, host: '198.51.100.9' })
  const before = await rows(etcd)
  let looked = 0
  vi.spyOn(os, 'networkInterfaces').mockImplementation(() => {
    looked += 1
    throw new Error('none')
  })
  syncBuiltinESMExports()
  link.drop()
  await until(() => looked > 0)
  await new Promise(resolve => registration.once('renewed', resolve))
  const seen = looked
  await new Promise(resolve => registration.once('renewed', resolve))
  expect(looked).toBeGreaterThan(seen)
  await registration.update({ weight: 3 })
  expect((await rows(etcd)).map(({ key }) => key)).toEqual(before.map(({ key }) => key))
  expect(moves).toEqual([])
  expect(given.instance.host).toBe('198.51.100.9')
  await until(() => registration.state === 'registered')
})
