import { type TestContext, test } from 'vitest'
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
  await nextEvent(discovery, 'fresh')
  await proxy.cut()
  await nextEvent(discovery, 'stale')
  return { etcd, proxy, registry, writer, discovery, witness }
}

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
  await nextEvent(discovery, 'fresh')
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
  await expectConverged(witness, etcd, '/services/web/', { timeout: 5000 })
})

test.concurrent('a wiped store that caught up to the very revision is listed again', async t => {
  const { etcd, proxy, writer, witness } = await cutOff(t, 20)
  await etcd.restart({ wipe: true })
  await writeInTurn(writer, entries(20, { version: '2' }).reverse())
  await proxy.restore()
  await expectConverged(witness, etcd, '/services/web/', { timeout: 5000 })
})

test.concurrent('a wiped store with the same keys at the same revisions shows its other values', async t => {
  const { etcd, proxy, writer, witness } = await cutOff(t, 20)
  await etcd.restart({ wipe: true })
  await writeInTurn(writer, entries(20, { version: '2' }))
  await proxy.restore()
  await expectConverged(witness, etcd, '/services/web/', { timeout: 5000 })
})

test.concurrent('a wiped store that went past the revision is listed again', async t => {
  const { etcd, proxy, writer, witness } = await cutOff(t, 20)
  await etcd.restart({ wipe: true })
  for (let i = 0; i < 30; i += 1) await writer.put('/elsewhere', `${i}`)
  await writer.write([entry('n5', { version: '2' })])
  await proxy.restore()
  await expectConverged(witness, etcd, '/services/web/', { timeout: 5000 })
})

test.concurrent('a wiped store with 1,500 keys in another order is listed again', async t => {
  const { etcd, proxy, writer, witness } = await cutOff(t, 1500)
  await etcd.restart({ wipe: true })
  await writeInTurn(writer, entries(1500, { version: '2' }).reverse())
  await proxy.restore()
  await expectConverged(witness, etcd, '/services/web/', { timeout: 5000 })
})
