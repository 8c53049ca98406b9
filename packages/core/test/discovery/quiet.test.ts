import { setTimeout as pass } from 'node:timers/promises'
import { type EtcdMember, startEtcdCluster } from '@etcd-register/testing'
import { type TestContext, test } from 'vitest'
import { valueFor } from '../support/raw-writer.ts'
import { discover, openRegistry, openWriter, startEtcd, untilFresh } from '../support/read-side.ts'

/** In ms. A stream that gets no answer is given up after 3 to 4 s, so three of these fit in. */
const QUIET = 15_000

const entry = (name: string) => ({ put: `/services/${name}/a`, value: valueFor(name, 'a') })

/** Discovers services of a store in which nobody writes, and compares before and after. */
async function expectQuiet(t: TestContext, hosts: string[], names: string[], pause?: () => Promise<void>) {
  const registry = openRegistry(t, hosts)
  const writer = openWriter(t, hosts[0]!)
  for (const name of names) await writer.write([entry(name)])
  writer.close()
  const found = await Promise.all(names.map(name => discover(registry, name)))
  await Promise.all(found.map(({ discovery }) => untilFresh(discovery)))
  await pause?.()
  await Promise.all(found.map(({ discovery }) => untilFresh(discovery)))
  let stale = 0
  for (const { discovery } of found) discovery.on('stale', () => (stale += 1))
  const before = registry.status()
  await pass(QUIET)
  const after = registry.status()
  t.expect(stale, 'times stale').toBe(0)
  t.expect(after.watches).toEqual(before.watches)
  t.expect(after.etcd.member, 'the member in use').toBe(before.etcd.member)
  t.expect(after.watches.map(({ instances }) => instances)).toEqual(names.map(() => 1))
}

test.concurrent('a store in which nobody writes is not stale: one watch', async t => {
  const etcd = await startEtcd(t)
  await expectQuiet(t, [etcd.endpoint], ['orders'])
})

test.concurrent('a store in which nobody writes is not stale: many watches', async t => {
  const etcd = await startEtcd(t)
  await expectQuiet(
    t,
    [etcd.endpoint],
    Array.from({ length: 30 }, (_, i) => `service${i}`),
  )
})

test.concurrent('a store in which nobody writes is not stale: after a restart of etcd', async t => {
  const etcd = await startEtcd(t)
  await expectQuiet(t, [etcd.endpoint], ['orders', 'payments'], () => etcd.restart())
})

test.concurrent('a store in which nobody writes is not stale: a registration keeps its lease, and its guard is silent', async t => {
  const etcd: EtcdMember = await startEtcd(t)
  const registry = openRegistry(t, etcd.endpoint)
  const registration = registry.register({ name: 'orders', host: '192.0.2.1', port: 8000 })
  await registration.ready()
  await expectQuiet(t, [etcd.endpoint], ['payments'])
  t.expect(registration.state).toBe('registered')
  await t.expect.poll(() => etcd.openStreams('Watch')).toBe(2)
})

test.concurrent('a store in which nobody writes is not stale: three members', async t => {
  const cluster = await startEtcdCluster()
  t.onTestFinished(() => cluster.stop())
  await expectQuiet(t, cluster.endpoints, ['orders', 'payments'])
})

test.concurrent('a member that freezes while nobody writes is left within 5 s', async t => {
  const cluster = await startEtcdCluster()
  t.onTestFinished(() => cluster.stop())
  const registry = openRegistry(t, cluster.endpoints)
  const writer = openWriter(t, cluster.endpoints[0]!)
  await writer.write([entry('orders')])
  const { discovery } = await discover(registry, 'orders')
  await untilFresh(discovery)
  const streams = await Promise.all(cluster.members.map(member => member.openStreams('Watch')))
  const watching = streams.findIndex(count => count > 0)
  const stale = new Promise<Date>(resolve => discovery.once('stale', resolve))
  const frozenAt = Date.now()
  await cluster.members[watching]!.freeze()
  t.onTestFinished(() => cluster.members[watching]!.thaw())
  const since = await stale
  t.expect(since.getTime() - frozenAt, 'since the last answer').toBeLessThan(1500)
  await untilFresh(discovery)
  t.expect(discovery.instances).toHaveLength(1)
})
