import { describe, expect, it } from 'vitest'
import { leases, row, rows } from '../support/etcdctl-table.ts'
import { within } from '../support/timed.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import {
  aLink,
  anEtcd,
  aRegistry,
  type Cleanup,
  eventsOf,
  ORDERS_KEY,
  orders,
  registered,
  untilExactly,
} from '../support/write-side.ts'

forbidUnhandled()

/** Its write is not in etcd before the link is restored. */
async function anUpdateUnderWay(test: Cleanup) {
  const etcd = await anEtcd(test)
  const link = await aLink(test, etcd)
  const registration = await registered(aRegistry(test, link, { ttl: 60, requestTimeout: 30_000 }))
  const events = eventsOf(registration)
  link.freeze()
  return { etcd, link, registration, events, updated: registration.update({ weight: 5 }) }
}

describe.concurrent('somebody else touches what is ours', () => {
  it('a deleted key is back within a second', async test => {
    const etcd = await anEtcd(test)
    const registration = await registered(aRegistry(test, etcd))
    const before = await row(etcd)
    const events = eventsOf(registration)

    const back = new Promise(resolve => registration.once('registered', resolve))
    await etcd.etcdctl('del', ORDERS_KEY)
    await within(1000, back)
    const [after] = await untilExactly(etcd, [registration])
    expect(after).toMatchObject({ lease: before!.lease, value: before!.value, version: 1 })
    expect(events).toEqual(['lost key-deleted', 'registered'])
  })

  it('a lease that is revoked by hand is reported as such, and the others lose nothing', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd)
    const registrations = await Promise.all(
      [8000, 8001, 8002].map(port => registered(registry, orders({ port }))),
    )
    const events = registrations.map(eventsOf)
    const { lease } = (await row(etcd))!
    await etcd.etcdctl('lease', 'revoke', lease)
    await until(() => events[0]!.length === 2)
    await untilExactly(etcd, registrations)
    expect(events).toEqual([['lost lease-revoked', 'registered'], [], []])
    expect(registry.warnings).toEqual([
      expect.stringContaining('lease-revoked'),
      'registered: orders 192.0.2.1:8000',
    ])
    expect(registry.status().registrations.map(({ lease }) => lease.losses)).toEqual([1, 0, 0])
  })

  it('a key deleted again and again is back each time', async test => {
    const etcd = await anEtcd(test)
    const registration = await registered(aRegistry(test, etcd))
    const events = eventsOf(registration)
    for (let i = 0; i < 10; i += 1) await etcd.etcdctl('del', '--prefix', '/services')
    await untilExactly(etcd, [registration])
    expect(new Set(events)).toEqual(new Set(['lost key-deleted', 'registered']))
    expect(await leases(etcd)).toHaveLength(1)
  })

  it.for([
    ['under no lease', false],
    ['under our own lease', true],
  ] as const)(
    'a key that an operator overwrote %s is ours again within a second',
    async ([, keepLease], test) => {
      const etcd = await anEtcd(test)
      const registration = await registered(aRegistry(test, etcd))
      const before = await row(etcd)
      const events = eventsOf(registration)

      const lease = keepLease ? [`--lease=${before!.lease}`] : []
      const back = new Promise(resolve => registration.once('registered', resolve))
      await etcd.etcdctl('put', ORDERS_KEY, 'nonsense', ...lease)
      await within(1000, back)
      const [after] = await untilExactly(etcd, [registration])
      expect(after).toMatchObject({ lease: before!.lease, value: before!.value })
      expect(events).toEqual(['lost key-overwritten', 'registered'])
    },
  )

  it('a key put again with our own value under our own lease is left alone', async test => {
    const etcd = await anEtcd(test)
    const registration = await registered(aRegistry(test, etcd))
    const before = await row(etcd)
    const events = eventsOf(registration)
    await etcd.etcdctl('put', ORDERS_KEY, before!.value, `--lease=${before!.lease}`)
    // The next write is over what was found: two versions, not three.
    await registration.update({ weight: 7 })
    expect(await row(etcd)).toMatchObject({ version: 3 })
    expect(events).toEqual([])
  })

  it('a key put again with our own value under no lease is under ours again', async test => {
    const etcd = await anEtcd(test)
    const registration = await registered(aRegistry(test, etcd))
    const before = await row(etcd)
    const events = eventsOf(registration)
    await etcd.etcdctl('put', ORDERS_KEY, before!.value)
    await until(() => events.includes('registered'))
    expect(await row(etcd)).toMatchObject({ lease: before!.lease, value: before!.value })
  })

  it('a key deleted while an update of it is under way is written once', async test => {
    const { etcd, link, registration, events, updated } = await anUpdateUnderWay(test)
    await etcd.etcdctl('del', ORDERS_KEY)
    await link.restore()
    await updated
    await registration.update({ weight: 6 })
    expect(await row(etcd)).toMatchObject({ version: 2 })
    expect(events).toEqual([])
  })

  it('a key that an operator overwrote while an update of it is under way has the update', async test => {
    const { etcd, link, events, updated } = await anUpdateUnderWay(test)
    await etcd.etcdctl('put', ORDERS_KEY, 'nonsense')
    await link.restore()
    await updated
    expect(JSON.parse((await row(etcd))!.value)).toMatchObject({ weight: 5 })
    expect(events).toEqual([])
  })

  it('a revoked lease is one loss and one registration under a new lease', async test => {
    const etcd = await anEtcd(test)
    // Its next renewal is far, and not what tells.
    const registry = aRegistry(test, etcd, { ttl: 600 })
    const three = [8000, 8001, 8002].map(port => registry.register(orders({ port })))
    await Promise.all(three.map(registration => registration.ready()))
    const events = three.map(eventsOf)
    const old = await leases(etcd)

    for (const lease of old) await etcd.etcdctl('lease', 'revoke', lease)
    await until(() => events.every(seen => seen.includes('registered')))
    const found = await untilExactly(etcd, three)
    for (const seen of events) expect(seen).toEqual([expect.stringMatching(/^lost /), 'registered'])
    for (const { version } of found) expect(version).toBe(1)
    const live = await leases(etcd)
    expect(live.filter(lease => old.includes(lease))).toEqual([])
    const told = registry.status().registrations.map(({ lease }) => lease)
    expect(told).toMatchObject(three.map(() => ({ state: 'held', losses: 1 })))
    expect(told.map(({ id }) => id).sort()).toEqual(live.sort())
  })

  it('a compaction of the history goes unnoticed', async test => {
    const etcd = await anEtcd(test)
    const registration = await registered(aRegistry(test, etcd))
    const events = eventsOf(registration)
    for (let i = 0; i < 5; i += 1) await etcd.etcdctl('put', '/elsewhere', String(i))
    await etcd.compact()
    await etcd.etcdctl('del', ORDERS_KEY)
    await until(() => events.includes('registered'))
    expect((await rows(etcd, '/services')).map(({ key }) => key)).toEqual([ORDERS_KEY])
    expect(events).toEqual(['lost key-deleted', 'registered'])
  })
})
