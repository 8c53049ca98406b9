import { describe, expect, it } from 'vitest'
import { leases, row, rows } from '../support/etcdctl-table.ts'
import { leaseOf } from '../support/lease-of.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import {
  aLink,
  anEtcd,
  aRegistry,
  eventsOf,
  orders,
  registered,
  untilExactly,
} from '../support/write-side.ts'

forbidUnhandled()

describe.concurrent('etcd goes away and comes back', () => {
  it('a restart of etcd within the TTL is no loss: the key is not even written again', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { ttl: 15 })
    const registration = await registered(registry)
    const before = await row(etcd)
    const events = eventsOf(registration)

    await etcd.restart()
    let renewals = 0
    registration.on('renewed', () => {
      renewals += 1
    })
    await until(() => renewals === 2)
    expect(await untilExactly(etcd, [registration])).toEqual([before])
    expect(events).toEqual([])
    expect(leaseOf(registry).losses).toBe(0)
  })

  it('a restart of etcd after the TTL is one loss and one registration', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { ttl: 4 })
    const registration = await registered(registry)
    const events = eventsOf(registration)

    await etcd.kill()
    await until(() => registration.state === 'lost')
    await etcd.restart()
    await untilExactly(etcd, [registration])
    expect(events).toEqual(['lost lease-expired', 'registered'])
    expect(leaseOf(registry).losses).toBe(1)
  })

  it('an etcd that was killed and comes back with an empty disk has the instance again', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { ttl: 5 })
    const two = [await registered(registry), await registered(registry, orders({ port: 8001 }))]
    const events = two.map(eventsOf)

    await etcd.restart({ wipe: true })
    await until(() => events.every(seen => seen.includes('registered')))
    await untilExactly(etcd, two)
    for (const seen of events) expect(seen).toEqual([expect.stringMatching(/^lost /), 'registered'])
    expect(await leases(etcd)).toHaveLength(2)

    // And it is guarded again, in a store whose revisions began anew.
    await etcd.etcdctl('del', two[0]!.instance.key)
    await until(() => events[0]!.at(-2) === 'lost key-deleted')
    await untilExactly(etcd, two)
  })

  it('an etcd frozen for 8 s is one loss and one registration', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { ttl: 3 })
    const registration = await registered(registry)
    const events = eventsOf(registration)

    const frozenAt = performance.now()
    await etcd.freeze()
    await until(() => performance.now() - frozenAt > 8000)
    expect(registration.state).toBe('lost')
    etcd.thaw()
    await untilExactly(etcd, [registration])
    // The old lease's end must not take the key with it.
    await until(async () => (await leases(etcd)).length === 1)
    await untilExactly(etcd, [registration])
    expect(events).toEqual(['lost lease-expired', 'registered'])
    expect(registry.warnings.filter(text => /did not answer|cannot be reached/.test(text))).toHaveLength(1)
  })

  it.for(['up', 'down'] as const)(
    'a link that is dead one way (%s) is one loss and one registration',
    async (direction, test) => {
      const etcd = await anEtcd(test)
      const link = await aLink(test, etcd)
      const registry = aRegistry(test, link, { ttl: 4, requestTimeout: 500 })
      const registration = await registered(registry)
      const events = eventsOf(registration)

      link.freeze(direction)
      await until(() => registration.state === 'lost')
      await until(async () => (await rows(etcd)).length === 0)
      await link.restore()
      await untilExactly(etcd, [registration])
      await until(async () => (await leases(etcd)).length === 1)
      await untilExactly(etcd, [registration])
      expect(events).toEqual(['lost lease-expired', 'registered'])
    },
  )

  it('connections that are reset again and again are no loss', async test => {
    const etcd = await anEtcd(test)
    const link = await aLink(test, etcd)
    const registration = await registered(aRegistry(test, link, { ttl: 9 }))
    const before = await row(etcd)
    const events = eventsOf(registration)
    let renewals = 0
    registration.on('renewed', () => {
      renewals += 1
      if (renewals < 5) link.drop()
    })
    await until(() => renewals > 5)
    expect(await untilExactly(etcd, [registration])).toEqual([before])
    expect(events).toEqual([])
  })

  it('what was updated during an outage is in etcd after it', async test => {
    const etcd = await anEtcd(test)
    const link = await aLink(test, etcd)
    const registration = await registered(aRegistry(test, link, { ttl: 4, requestTimeout: 500 }))
    await link.cut()
    const updates = [1, 2, 3].map(weight => registration.update({ weight }))
    await until(() => registration.state === 'lost')
    await link.restore()
    await Promise.all(updates)
    const [found] = await untilExactly(etcd, [registration])
    expect(JSON.parse(found!.value)).toMatchObject({ weight: 3 })
  })
})
