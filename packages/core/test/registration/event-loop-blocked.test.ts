import { expect, it } from 'vitest'
import { leases, row, rows } from '../support/etcdctl-table.ts'
import { leaseOf } from '../support/lease-of.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { anEtcd, aRegistry, eventsOf, registered, untilExactly } from '../support/write-side.ts'

// Not concurrent: what is measured here is the whole process.
forbidUnhandled()

function block(ms: number): void {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, ms)
}

it('an event loop blocked for 2 x TTL is one loss and one registration', async test => {
  const etcd = await anEtcd(test)
  const registry = aRegistry(test, etcd, { ttl: 3 })
  const registration = await registered(registry)
  const events = eventsOf(registration)
  const [old] = await leases(etcd)

  block(6000)
  await until(() => events.includes('registered'))
  const [found] = await untilExactly(etcd, [registration])
  expect(events).toEqual(['lost lease-expired', 'registered'])
  expect(found!.version).toBe(1)
  expect(leaseOf(registry).losses).toBe(1)
  expect(await leases(etcd)).toEqual([found!.lease])
  expect(found!.lease).not.toBe(old)

  // And it stays that way.
  await new Promise(renewed => registration.once('renewed', renewed))
  await new Promise(renewed => registration.once('renewed', renewed))
  expect(await row(etcd)).toEqual(found)
  expect(events).toHaveLength(2)
})

it('an event loop blocked for less than the TTL is no loss', async test => {
  const etcd = await anEtcd(test)
  const registration = await registered(aRegistry(test, etcd, { ttl: 9 }))
  const before = await row(etcd)
  const events = eventsOf(registration)
  await new Promise(renewed => registration.once('renewed', renewed))
  block(4000)
  await new Promise(renewed => registration.once('renewed', renewed))
  expect(await untilExactly(etcd, [registration])).toEqual([before])
  expect(events).toEqual([])
})

it('an outage costs next to no CPU', async test => {
  const etcd = await anEtcd(test)
  const registration = await registered(aRegistry(test, etcd, { ttl: 2 }))
  await etcd.kill()
  const before = process.cpuUsage()
  const from = performance.now()
  await until(() => registration.state === 'lost')
  await until(() => performance.now() - from > 2500)
  const { user, system } = process.cpuUsage(before)
  const share = (user + system) / 1000 / (performance.now() - from)
  expect(share).toBeLessThan(0.25)
  await etcd.restart()
  await untilExactly(etcd, [registration])
  expect(await rows(etcd)).toHaveLength(1)
})
