import { type TestContext, test } from 'vitest'
import { type Clock, systemClock } from '../../src/etcd/support/clock.ts'
import { resolveOptions } from '../../src/registry/options.ts'
import { EtcdRegistry } from '../../src/registry/registry.ts'
import { expectConverged } from '../support/oracle.ts'
import { type RawWriter, valueFor } from '../support/raw-writer.ts'
import { discover, nextEvent, openRegistry, openWriter, startEtcd, startProxy } from '../support/read-side.ts'

const entry = (id: string, fields: object = {}) => ({
  put: `/services/web/${id}`,
  value: valueFor('web', id, fields),
})
const entries = (count: number, fields: object = {}) =>
  Array.from({ length: count }, (_, i) => entry(`n${i}`, fields))

/** In twenty revisions. */
async function writeInTurn(writer: RawWriter, all: ReturnType<typeof entries>): Promise<void> {
  const size = all.length / 20
  for (let at = 0; at < all.length; at += size) await writer.write(all.slice(at, at + size))
}

/** A table of so many instances whose link to etcd is cut. */
async function cutOff(t: TestContext, count: number) {
  const etcd = await startEtcd(t)
  const proxy = await startProxy(t, etcd)
  const registry = openRegistry(t, proxy.endpoint)
  const writer = openWriter(t, etcd.endpoint)
  await writeInTurn(writer, entries(count))
  const { discovery, witness } = await discover(registry, 'web')
  await proxy.cut()
  await nextEvent(discovery, 'stale')
  return { etcd, proxy, registry, writer, discovery, witness }
}

/** Before what was left out is compared, 10 s later at the earliest. */
const atOnce = { timeout: 9000 }

test.concurrent('history compacted while the link was cut: only what really changed is told', async t => {
  const { etcd, proxy, registry, writer, witness } = await cutOff(t, 20)
  await writer.writeEach([{ del: '/services/web/n0' }, entry('n1', { version: '2' }), entry('new')])
  await etcd.compact()
  await proxy.restore()
  await expectConverged(witness, etcd, '/services/web/')
  t.expect(registry.status().watches[0]).toMatchObject({ relists: 1, repairs: 0 })
  const [, change] = witness.changes
  t.expect(change!.removed.map(({ id }) => id)).toEqual(['n0'])
  t.expect(change!.updated.map(({ id }) => id)).toEqual(['n1'])
  t.expect(change!.added.map(({ id }) => id)).toEqual(['new'])
  t.expect(witness.changes).toHaveLength(2)
})

test.concurrent('an idle service whose history is compacted tells nothing', async t => {
  const { etcd, proxy, writer, witness } = await cutOff(t, 20)
  for (let i = 0; i < 10; i += 1) await writer.put('/elsewhere', `${i}`)
  await etcd.compact()
  await proxy.restore()
  await expectConverged(witness, etcd, '/services/web/')
  t.expect(witness.changes).toHaveLength(1)
})

test.concurrent('a store wiped under a running watch is seen, and followed from then on', async t => {
  const etcd = await startEtcd(t)
  const registry = openRegistry(t, etcd.endpoint)
  const writer = openWriter(t, etcd.endpoint)
  await writer.fill(entries(20))
  const { discovery, witness } = await discover(registry, 'web')
  await etcd.restart({ wipe: true })
  await expectConverged(witness, etcd, '/services/web/')
  t.expect(discovery.instances).toEqual([])
  await writer.fill(entries(3, { version: '2' }))
  await expectConverged(witness, etcd, '/services/web/')
})

test.concurrent('a wiped store that is behind the table is listed again', async t => {
  const { etcd, proxy, writer, witness } = await cutOff(t, 20)
  await etcd.restart({ wipe: true })
  await writer.write([entry('n3', { version: '2' })])
  await proxy.restore()
  await expectConverged(witness, etcd, '/services/web/', atOnce)
})

test.concurrent('a wiped store that caught up to the very revision is listed again', async t => {
  const { etcd, proxy, writer, witness } = await cutOff(t, 20)
  await etcd.restart({ wipe: true })
  await writeInTurn(writer, entries(20, { version: '2' }).reverse())
  await proxy.restore()
  await expectConverged(witness, etcd, '/services/web/', atOnce)
})

test.concurrent('a wiped store with the same keys at the same revisions shows its other values', async t => {
  const { etcd, proxy, writer, witness } = await cutOff(t, 20)
  await etcd.restart({ wipe: true })
  await writeInTurn(writer, entries(20, { version: '2' }))
  await proxy.restore()
  await expectConverged(witness, etcd, '/services/web/', atOnce)
})

test.concurrent('a wiped store that went past the revision is listed again', async t => {
  const { etcd, proxy, writer, witness } = await cutOff(t, 20)
  await etcd.restart({ wipe: true })
  for (let i = 0; i < 30; i += 1) await writer.put('/elsewhere', `${i}`)
  await writer.write([entry('n5', { version: '2' })])
  await proxy.restore()
  await expectConverged(witness, etcd, '/services/web/', atOnce)
})

test.concurrent('a wiped store with 1,500 keys in another order is listed again', async t => {
  const { etcd, proxy, writer, witness } = await cutOff(t, 1500)
  await etcd.restart({ wipe: true })
  await writeInTurn(writer, entries(1500, { version: '2' }).reverse())
  await proxy.restore()
  await expectConverged(witness, etcd, '/services/web/', atOnce)
})

/** Waits of 10 s and more take a twentieth of their time. */
const hurried: Clock = {
  ...systemClock,
  after: (ms, fn) => systemClock.after(ms < 10_000 ? ms : ms / 20, fn),
}

const wide = (id: number) => `n${String(id).padStart(5, '0')}`

test.concurrent.for<{
  what: string
  replacement: (id: number) => ReturnType<typeof entry>
  bytesPerSecond: number
}>([
  {
    what: 'keys',
    replacement: id => entry(id >= 1498 ? `z${id}` : wide(id)),
    bytesPerSecond: Number.POSITIVE_INFINITY,
  },
  {
    what: 'keys, over a slow link',
    replacement: id => entry(id >= 1498 ? `z${id}` : wide(id)),
    bytesPerSecond: 100_000,
  },
  {
    what: 'values at the same revisions',
    replacement: id => entry(wide(id), id >= 1498 ? { version: '2' } : {}),
    bytesPerSecond: Number.POSITIVE_INFINITY,
  },
])(
  'a replaced store with 1,500 keys that has other $what after the first 1,000 is listed again within a minute',
  async ({ replacement, bytesPerSecond }, t) => {
    const etcd = await startEtcd(t)
    const proxy = await startProxy(t, etcd)
    const registry = new EtcdRegistry(resolveOptions({ hosts: proxy.endpoint, logger: false }), hurried)
    t.onTestFinished(() => registry.close())
    const writer = openWriter(t, etcd.endpoint)
    const ids = Array.from({ length: 1500 }, (_, id) => id)
    await writeInTurn(
      writer,
      ids.map(id => entry(wide(id))),
    )
    if (bytesPerSecond < Number.POSITIVE_INFINITY) proxy.throttle(bytesPerSecond)
    const { discovery, witness } = await discover(registry, 'web')
    await proxy.cut()
    await nextEvent(discovery, 'stale')
    await etcd.restart({ wipe: true })
    await writeInTurn(writer, ids.map(replacement))
    await proxy.restore()
    if (bytesPerSecond < Number.POSITIVE_INFINITY) proxy.throttle(bytesPerSecond)
    await nextEvent(discovery, 'fresh')
    t.expect(registry.status().watches[0]).toMatchObject({ relists: 0 })
    // 50 s, which take 2.5 s with this clock.
    await expectConverged(witness, etcd, '/services/web/')
    t.expect(registry.status().watches[0]).toMatchObject({ relists: 1, repairs: 0 })
  },
)

test.concurrent('1,500 keys that are the same after a reconnect are compared once and not listed again', async t => {
  const etcd = await startEtcd(t)
  const proxy = await startProxy(t, etcd)
  const waits: number[] = []
  const clock: Clock = {
    ...systemClock,
    after(ms, fn) {
      waits.push(ms)
      return hurried.after(ms, fn)
    },
  }
  const registry = new EtcdRegistry(resolveOptions({ hosts: proxy.endpoint, logger: false }), clock)
  t.onTestFinished(() => registry.close())
  const writer = openWriter(t, etcd.endpoint)
  await writeInTurn(writer, entries(1500))
  const { discovery, witness } = await discover(registry, 'web')
  proxy.drop()
  await nextEvent(discovery, 'fresh')
  const reconciles = () => waits.filter(ms => ms >= 300_000).length
  // The first one was set when the watch began, the next one is once the comparison is over.
  await t.expect.poll(reconciles, { timeout: 10_000 }).toBe(2)
  const [after] = waits.filter(ms => ms >= 10_000 && ms < 300_000)
  t.expect(after).toBeLessThanOrEqual(50_000)
  await expectConverged(witness, etcd, '/services/web/')
  t.expect(registry.status().watches[0]).toMatchObject({ reconnects: 1, relists: 0, repairs: 0 })
  t.expect(witness.changes).toHaveLength(1)
})
