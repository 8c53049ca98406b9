import { describe, expect, it } from 'vitest'
import { leases, rows } from '../support/etcdctl-table.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { anEtcd, aRegistry, eventsOf, orders, registered, untilExactly } from '../support/write-side.ts'

forbidUnhandled()

const fifty = Array.from({ length: 50 }, (_, i) => orders({ name: `service-${i % 7}`, port: 8000 + i }))

describe.concurrent('one registry', () => {
  it('fifty instances have a lease each, one keepalive stream and one watch stream', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { ttl: 9 })
    const registrations = fifty.map(service => registry.register(service))
    await Promise.all(registrations.map(registration => registration.ready()))
    let renewals = 0
    for (const registration of registrations) registration.on('renewed', () => void renewals++)
    await until(() => renewals >= 100, { within: 60_000 })
    const found = await untilExactly(etcd, registrations)
    expect(new Set(found.map(({ lease }) => lease)).size).toBe(50)
    // One whose grant was not answered in time is revoked.
    await until(async () => (await leases(etcd)).length === 50)
    expect(await etcd.openStreams('LeaseKeepAlive')).toBe(1)
    expect(await etcd.openStreams('Watch')).toBe(1)
  })

  it('fifty instances come back from one loss together, each under one new lease', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { ttl: 15 })
    const registrations = fifty.map(service => registry.register(service))
    await Promise.all(registrations.map(registration => registration.ready()))
    const events = registrations.map(eventsOf)
    await etcd.kill()
    await until(() => registrations.every(({ state }) => state === 'lost'))
    await etcd.restart()
    const found = await untilExactly(etcd, registrations)
    for (const seen of events) expect(seen).toEqual(['lost lease-expired', 'registered'])
    expect(new Set(found.map(({ lease }) => lease)).size).toBe(50)
    await until(async () => (await leases(etcd)).length === 50)
    await untilExactly(etcd, registrations)
    const losses = events.map(seen => seen.filter(event => event.startsWith('lost')).length)
    expect(registry.status().registrations.map(({ lease }) => lease.losses)).toEqual(losses)
  })

  it('five hundred instances take about a grant and a write each, and a restart within the TTL loses none', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd)
    const registrations = Array.from({ length: 500 }, (_, i) => registry.register(orders({ port: 8000 + i })))
    await Promise.all(registrations.map(registration => registration.ready()))
    // On a busy machine one or another is tried a second time.
    const { LeaseGrant = 0, Txn = 0 } = await etcd.requests()
    expect(Math.max(LeaseGrant, Txn)).toBeLessThan(600)
    const renewed = registrations.map(registration => new Promise(done => registration.once('renewed', done)))
    await etcd.restart()
    await Promise.all(renewed)
    await until(async () => (await rows(etcd)).length === 500)
    const losses = registry.status().registrations.map(({ lease }) => lease.losses)
    expect(losses).toEqual(registrations.map(() => 0))
  })

  it('one that leaves takes its lease and its key, and no other', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd)
    const first = await registered(registry)
    const second = await registered(registry, orders({ port: 8001 }))
    const third = await registered(registry, orders({ port: 8002 }))
    await second.deregister()
    await untilExactly(etcd, [first, third])
    expect(await leases(etcd)).toHaveLength(2)
    await first.deregister()
    await third.deregister()
    expect(await rows(etcd)).toEqual([])
    expect(await leases(etcd)).toEqual([])
    await until(async () => (await etcd.openStreams('LeaseKeepAlive')) === 0)
    await until(async () => (await etcd.openStreams('Watch')) === 0)
  })

  it('after the last one left, the next one gets a lease of its own', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd)
    for (let i = 0; i < 5; i += 1) {
      const registration = await registered(registry)
      await untilExactly(etcd, [registration])
      if (i % 2 === 0) await registration.deregister()
      else void registration.deregister()
    }
    await untilExactly(etcd, [])
    expect(await leases(etcd)).toEqual([])
  })
})
