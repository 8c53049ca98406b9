import { describe, expect, it } from 'vitest'
import { leases } from '../support/etcdctl-table.ts'
import { leaseOf } from '../support/lease-of.ts'
import { SLACK } from '../support/timed.ts'
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

/** When a timer fired that was set for now + `ms`: on a busy machine it is as late as any other. */
function timer(ms: number): Promise<number> {
  return new Promise(resolve => setTimeout(() => resolve(performance.now()), ms))
}

describe.concurrent('our clock decides when a lease is lost', () => {
  it.for([2, 4])(
    'a lease of %i s is lost that long after the last acknowledged keepalive was sent, not later',
    async (ttl, test) => {
      const etcd = await anEtcd(test)
      const link = await aLink(test, etcd)
      const registry = aRegistry(test, link, { ttl })
      const registration = await registered(registry)
      await new Promise(renewed => registration.once('renewed', renewed))
      const before = performance.now()
      const { expiresIn, lastAckAge, losses } = leaseOf(registry)
      const onTime = timer(expiresIn!)
      expect(expiresIn! + lastAckAge!).toBeCloseTo(ttl * 1000, -1)

      link.freeze()
      await new Promise(lost => registration.once('lost', lost))
      expect(performance.now()).toBeGreaterThan(before + expiresIn! - 5)
      expect(performance.now() - (await onTime)).toBeLessThan(SLACK)
      expect(leaseOf(registry)).toMatchObject({ state: 'lost', losses: losses + 1 })
      await link.restore()
      await untilExactly(etcd, [registration])
    },
  )

  it("an acknowledgement is as old as its request: the time on the way is not the lease's", async test => {
    const etcd = await anEtcd(test)
    const link = await aLink(test, etcd)
    const registry = aRegistry(test, link, { ttl: 6 })
    const registration = await registered(registry)
    const renewed = () => new Promise(resolve => registration.once('renewed', resolve))
    link.delay(500)
    // The first one may have been on its way before.
    await renewed()
    await renewed()
    const { expiresIn, lastAckAge } = leaseOf(registry)
    expect(lastAckAge).toBeGreaterThan(950)
    expect(expiresIn).toBeLessThan(6000 - 950)
    await link.restore()
    await untilExactly(etcd, [registration])
  })

  it('it renews each third of the granted TTL, and says so', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { ttl: 6 })
    const registration = await registered(registry)
    const [lease] = await leases(etcd)
    const said: unknown[] = []
    const times: number[] = []
    registration.on('renewed', renewed => {
      said.push(renewed)
      times.push(performance.now())
    })
    await until(() => times.length >= 5)
    for (const renewed of said) expect(renewed).toEqual({ id: lease, ttl: 6 })
    const gaps = times.slice(1).map((time, i) => time - times[i]!)
    // A busy machine is late now and then, and does not make up for it.
    const [, typical] = gaps.sort((a, b) => a - b)
    expect(Math.abs(typical! - 2000)).toBeLessThan(SLACK)
  })

  it('a longer TTL than the one asked for is the one that counts', async test => {
    const slow = ['--heartbeat-interval', '200', '--election-timeout', '2000']
    const etcd = await anEtcd(test, { args: slow })
    const registry = aRegistry(test, etcd, { ttl: 2 })
    const registration = await registered(registry)
    const granted = leaseOf(registry).ttl!
    expect(granted).toBeGreaterThan(2000)
    const renewed = () => new Promise<{ ttl: number }>(resolve => registration.once('renewed', resolve))
    const events = eventsOf(registration)
    await renewed()
    const third = timer(granted / 3 - leaseOf(registry).lastAckAge!)
    expect(await renewed()).toMatchObject({ ttl: granted / 1000 })
    const renewedAt = performance.now()
    expect(Math.abs(renewedAt - (await third))).toBeLessThan(SLACK)

    const onTime = timer(leaseOf(registry).expiresIn!)
    await etcd.freeze()
    await new Promise(lost => registration.once('lost', lost))
    expect(Math.abs(performance.now() - (await onTime))).toBeLessThan(SLACK)
    etcd.thaw()
    await untilExactly(etcd, [registration])
    expect(events).toEqual(['lost lease-expired', 'registered'])
  })

  it('the time that a member without an answer took does not count', async test => {
    const etcd = await anEtcd(test)
    const dead = await aLink(test, etcd)
    dead.freeze()
    // Which of the two is asked first is a matter of chance.
    const registries = Array.from({ length: 6 }, () =>
      aRegistry(
        test,
        { endpoints: [dead.endpoint, etcd.endpoint] },
        { ttl: 6, requestTimeout: 6600, namespace: `/${Math.random()}` },
      ),
    )
    const registrations = await Promise.all(registries.map(registry => registered(registry)))
    await Promise.all(registrations.map(it => new Promise(renewed => it.once('renewed', renewed))))
    for (const registry of registries) expect(leaseOf(registry).losses).toBe(0)
    await dead.restore()
    await untilExactly(etcd, registrations)
  })

  it('ready() means registered: a key written under a lease that is lost by then does not count', async test => {
    const etcd = await anEtcd(test)
    const link = await aLink(test, etcd)
    const registry = aRegistry(test, link, { ttl: 2, requestTimeout: 5000 })
    const other = await registered(registry, orders({ port: 8001 }))
    link.freeze('down')
    const registration = registry.register(orders())
    const leaseNow = () => registry.status().registrations[1]!.lease
    const ready = registration.ready().then(() => [registration.state, leaseNow().state])
    await new Promise(lost => other.once('lost', lost))
    await link.restore()
    expect(await ready).toEqual(['registered', 'held'])
    await untilExactly(etcd, [registration, other])
  })
})
