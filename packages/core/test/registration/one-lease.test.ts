import { describe, expect, it } from 'vitest'
import { leases, rows } from '../support/etcdctl-table.ts'
import { leaseOf } from '../support/lease-of.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { anEtcd, aRegistry, eventsOf, orders, registered, untilExactly } from '../support/write-side.ts'

forbidUnhandled()

const fifty = Array.from({ length: 50 }, (_, i) => orders({ name: `service-${i % 7}`, port: 8000 + i }))

describe.concurrent('one registry', () => {
  it('fifty instances are one lease, one keepalive stream and one watch stream', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { ttl: 6 })
    const registrations = fifty.map(service => registry.register(service))
    await Promise.all(registrations.map(registration => registration.ready()))
    let renewals = 0
    registrations[0]!.on('renewed', () => {
      renewals += 1
    })
    await until(() => renewals >= 2)
    const found = await untilExactly(etcd, registrations)
    const [lease, ...more] = await leases(etcd)
    expect(more).toEqual([])
    for (const { lease: its } of found) expect(its).toBe(lease)
    expect(await etcd.openStreams('LeaseKeepAlive')).toBe(1)
    expect(await etcd.openStreams('Watch')).toBe(1)

    // One keepalive each third of the TTL, not one an instance.
    const sent = async () =>
      [...(await etcd.metrics())].find(
        ([name]) => name.startsWith('grpc_server_msg_received_total') && name.includes('LeaseKeepAlive'),
      )![1]
    /** While etcd is asked one more may be acknowledged, or be on its way. */
    const count = async () => ({ from: renewals, sent: await sent(), to: renewals + 1 })
    const before = await count()
    await until(() => renewals >= before.to + 2)
    const after = await count()
    const between = after.sent - before.sent
    expect(between).toBeGreaterThanOrEqual(after.from - before.to)
    expect(between).toBeLessThanOrEqual(after.to - before.from)
  })

  it('fifty instances come back from one loss together, under one new lease', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { ttl: 5 })
    const registrations = fifty.map(service => registry.register(service))
    await Promise.all(registrations.map(registration => registration.ready()))
    const events = registrations.map(eventsOf)
    await etcd.kill()
    await until(() => registrations.every(({ state }) => state === 'lost'))
    await etcd.restart()
    const found = await untilExactly(etcd, registrations)
    for (const seen of events) expect(seen).toEqual(['lost lease-expired', 'registered'])
    expect(new Set(found.map(({ lease }) => lease)).size).toBe(1)
    await until(async () => (await leases(etcd)).length === 1)
    await untilExactly(etcd, registrations)
    expect(leaseOf(registry).losses).toBe(1)
  })

  it('one that leaves takes only its own key; the last one takes the lease', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd)
    const first = await registered(registry)
    const second = await registered(registry, orders({ port: 8001 }))
    const third = await registered(registry, orders({ port: 8002 }))
    await second.deregister()
    await untilExactly(etcd, [first, third])
    expect(await leases(etcd)).toHaveLength(1)
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
