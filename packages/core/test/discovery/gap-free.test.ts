import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { expectConverged, Witness } from '../support/oracle.ts'
import { type Operation, valueFor } from '../support/raw-writer.ts'
import { discover, nextEvent, openRegistry, openWriter, reached, startProxy } from '../support/read-side.ts'

let etcd: EtcdMember

beforeAll(async () => {
  etcd = await startEtcdBinary({ args: ['--max-txn-ops', '10000'] })
})
afterAll(() => etcd.stop())

const entries = (service: string, count: number, fields: object = {}) =>
  Array.from({ length: count }, (_, i) => ({
    put: `/services/${service}/n${i}`,
    value: valueFor(service, `n${i}`, fields),
  }))

test('nothing is lost when others write while a discovery starts', async t => {
  const registry = openRegistry(t, etcd.endpoint)
  const writer = openWriter(t, etcd.endpoint)

  async function race(name: string, round: number): Promise<void> {
    const operations: Operation[] = Array.from({ length: 12 }, (_, i) => {
      const id = `n${(i * 7 + round) % 5}`
      const put = `/services/${name}/${id}`
      return i % 4 === 3 ? { del: put } : { put, value: valueFor(name, id, { version: `${round}.${i}` }) }
    })
    // The writes begin before, with, and after the list, in turn.
    const writing = writer.writeEach(operations)
    for (let i = 0; i < round % 3; i += 1) await new Promise(setImmediate)
    const discovery = registry.discover(name)
    const witness = new Witness(discovery)
    const revisions = await writing
    const last = { put: `/services/${name}/last`, value: valueFor(name, 'last') }
    await reached(discovery, await writer.write([last]))
    const inOrder = operations.map((operation, i) => ({ operation, revision: revisions[i]! }))
    const expected = new Map([[last.put, last.value]])
    for (const { operation } of inOrder.sort((a, b) => a.revision - b.revision)) {
      if ('put' in operation) expected.set(String(operation.put), operation.value)
      else expected.delete(String(operation.del))
    }
    expect([...witness.differencesFrom(expected), ...witness.differences()]).toEqual([])
    await discovery.close()
  }
  const lanes = ['race-a', 'race-b', 'race-c', 'race-d'].map(async name => {
    for (let round = 0; round < 75; round += 1) {
      await race(`${name}${round}`, round)
    }
  })
  await Promise.all(lanes)
})

test('nothing is lost when the link drops as soon as the watch is there', async t => {
  const proxy = await startProxy(t, etcd)
  const registry = openRegistry(t, proxy.endpoint)
  const writer = openWriter(t, etcd.endpoint)
  for (let round = 0; round < 15; round += 1) {
    const name = `dropped${round}`
    const discovery = registry.discover(name)
    const witness = new Witness(discovery)
    await nextEvent(discovery, 'fresh')
    const written = writer.writeEach(entries(name, 10))
    proxy.drop()
    await written
    await expectConverged(witness, etcd, `/services/${name}/`)
    await discovery.close()
  }
})

test('a backlog of 4,000 revisions that is cut five times arrives whole', async t => {
  const proxy = await startProxy(t, etcd)
  const registry = openRegistry(t, proxy.endpoint)
  const writer = openWriter(t, etcd.endpoint)
  const { discovery, witness } = await discover(registry, 'backlog')
  await proxy.cut()
  await nextEvent(discovery, 'stale')
  const operations = Array.from({ length: 4000 }, (_, i): Operation => {
    const put = `/services/backlog/n${i % 100}`
    return i % 10 === 9
      ? { del: put }
      : { put, value: valueFor('backlog', `n${i % 100}`, { version: `${i}` }) }
  })
  await writer.writeEach(operations)
  await proxy.restore()
  for (let cuts = 0; cuts < 5; cuts += 1) await proxy.cutAfter(120_000)
  await expectConverged(witness, etcd, '/services/backlog/')
  const [watch] = registry.status().watches
  expect(watch).toMatchObject({ relists: 0, repairs: 0 })
  expect(watch!.reconnects).toBeGreaterThanOrEqual(6)
})

test('a backlog of 8 MB arrives whole', async t => {
  const proxy = await startProxy(t, etcd)
  const registry = openRegistry(t, proxy.endpoint)
  const writer = openWriter(t, etcd.endpoint)
  const { discovery, witness } = await discover(registry, 'large')
  await proxy.cut()
  await nextEvent(discovery, 'stale')
  await writer.writeEach(entries('large', 800, { metadata: { note: 'x'.repeat(10_000) } }))
  await proxy.restore()
  await expectConverged(witness, etcd, '/services/large/', { page: 50 })
  expect(discovery.instances).toHaveLength(800)
  expect(registry.status().watches[0]).toMatchObject({ relists: 0 })
})

test('100,000 keys are listed at first, and one revision that deletes them all is one change', async t => {
  const registry = openRegistry(t, etcd.endpoint, { requestTimeout: 30_000 })
  const writer = openWriter(t, etcd.endpoint)
  const all = entries('crowd', 100_000, { zone: 'a', version: '1.0.0', metadata: { team: 'orders' } })
  await writer.fill(all, 4000)
  const { discovery, witness } = await discover(registry, 'crowd')
  expect(discovery.instances).toHaveLength(100_000)
  const expected = new Map(all.map(({ put, value }) => [put, value]))
  expect(witness.differencesFrom(expected)).toEqual([])
  expect(witness.changes).toHaveLength(1)

  const changed = nextEvent(discovery, 'change')
  await etcd.etcdctl('del', '--prefix', '/services/crowd/', '--command-timeout=60s')
  await changed
  await expectConverged(witness, etcd, '/services/crowd/')
  expect(witness.changes).toHaveLength(2)
  expect(witness.changes[1]!.removed).toHaveLength(100_000)
  expect(discovery.instances).toEqual([])
})
