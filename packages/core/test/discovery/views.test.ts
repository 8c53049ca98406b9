import type { PickContext, ServiceInstance } from '@etcd-register/core'
import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest'
import { Witness } from '../support/oracle.ts'
import { valueFor } from '../support/raw-writer.ts'
import { discover, keepLog, nextEvent, openRegistry, openWriter, reached } from '../support/read-side.ts'

let etcd: EtcdMember
let namespaces = 0

beforeAll(async () => {
  etcd = await startEtcdBinary()
})
afterAll(() => etcd.stop())

function bench(t: TestContext) {
  namespaces += 1
  const namespace = `/views${namespaces}`
  const logger = keepLog()
  const registry = openRegistry(t, etcd.endpoint, { namespace, logger })
  const writer = openWriter(t, etcd.endpoint)
  const key = (id: string) => `${namespace}/web/${id}`
  return {
    registry,
    logger,
    put: (id: string, fields: object = {}) => writer.put(key(id), valueFor('web', id, fields)),
    del: (id: string) => writer.del(key(id)),
  }
}

const ids = (instances: readonly ServiceInstance[]) => instances.map(({ id }) => id)
/** Who is picked, and how often, in so many picks. */
function picked(pick: () => ServiceInstance | undefined, times: number): Record<string, number> {
  const counts: Record<string, number> = {}
  for (let i = 0; i < times; i += 1) {
    const id = pick()?.id ?? 'nobody'
    counts[id] = (counts[id] ?? 0) + 1
  }
  return counts
}

test('a filter shows a part: who begins to pass is added, who no longer passes is removed', async t => {
  const { registry, put, del } = bench(t)
  await put('a', { version: '1' })
  await put('b', { version: '2' })
  const { discovery, witness } = await discover(registry, 'web', { filter: ({ version }) => version === '2' })
  expect(ids(discovery.instances)).toEqual(['b'])
  expect(picked(() => discovery.pick(), 3)).toEqual({ b: 3 })
  await reached(discovery, await put('a', { version: '2' }))
  expect(witness.changes.at(-1)).toMatchObject({ added: [{ id: 'a' }], removed: [], updated: [] })
  await reached(discovery, await put('a', { version: '2', zone: 'z' }))
  expect(witness.changes.at(-1)).toMatchObject({ added: [], removed: [], updated: [{ id: 'a', zone: 'z' }] })
  await reached(discovery, await put('b', { version: '1' }))
  expect(witness.changes.at(-1)).toMatchObject({
    added: [],
    removed: [{ id: 'b', version: '2' }],
    updated: [],
  })
  await reached(discovery, await del('a'))
  expect(discovery.instances).toEqual([])
  expect(witness.differences()).toEqual([])
})

test('what a filter hides changes nothing for its discovery', async t => {
  const { registry, put, del } = bench(t)
  await put('a', { zone: 'near' })
  const { discovery, witness } = await discover(registry, 'web', { filter: ({ zone }) => zone === 'near' })
  const before = discovery.instances
  await put('b')
  await put('b', { version: '2' })
  await reached(discovery, await del('b'))
  expect(discovery.instances).toBe(before)
  expect(witness.changes).toHaveLength(1)
})

test('a filter that throws hides that instance, is warned of once, and harms no other discovery', async t => {
  const { registry, logger, put, del } = bench(t)
  const filter = ({ id }: ServiceInstance) => {
    if (id === 'bad') throw new Error('no')
    return true
  }
  const strict = await discover(registry, 'web', { filter })
  const other = await discover(registry, 'web')
  await put('bad')
  await reached(other.discovery, await put('good'))
  expect(ids(strict.discovery.instances)).toEqual(['good'])
  expect(ids(other.discovery.instances)).toEqual(['bad', 'good'])
  const told = () => logger.of('warn').filter(line => line.includes('filter'))
  expect(told()).toEqual([
    expect.stringMatching(/^the filter of the discovery of "web" threw\. What it throws for is left out/),
  ])
  await reached(other.discovery, await del('bad'))
  expect(ids(strict.discovery.instances)).toEqual(['good'])
  expect(told().slice(1)).toEqual(['the filter of the discovery of "web" throws no longer'])
  for (const { witness } of [strict, other]) expect(witness.differences()).toEqual([])
})

test('round robin gives each its turn', async t => {
  const { registry, put } = bench(t)
  for (const id of ['a', 'b', 'c']) await put(id)
  const { discovery } = await discover(registry, 'web')
  expect(picked(() => discovery.pick(), 30)).toEqual({ a: 10, b: 10, c: 10 })
  await reached(discovery, await put('d'))
  expect(picked(() => discovery.pick(), 40)).toEqual({ a: 10, b: 10, c: 10, d: 10 })
})

test('random gives each a fair share', async t => {
  const { registry, put } = bench(t)
  for (const id of ['a', 'b', 'c']) await put(id)
  const { discovery } = await discover(registry, 'web', { balancer: 'random' })
  const counts = picked(() => discovery.pick(), 9000)
  for (const id of ['a', 'b', 'c']) expect(Math.abs(counts[id]! - 3000)).toBeLessThan(400)
})

test.for(['round-robin', 'random'] as const)(
  '%s picks nobody who leaves, is suspended, or has weight 0',
  async (balancer, t) => {
    const { registry, put } = bench(t)
    const discovery = registry.discover('web', { balancer })
    await discovery.ready()
    t.expect(discovery.pick()).toBeUndefined()
    await put('leaving', { status: 'leaving' })
    await put('suspended', { status: 'suspended' })
    await reached(discovery, await put('idle', { weight: 0 }))
    t.expect(discovery.pick()).toBeUndefined()
    t.expect(discovery.instances).toHaveLength(3)
    await reached(discovery, await put('suspended', { status: 'up' }))
    t.expect(picked(() => discovery.pick(), 5)).toEqual({ suspended: 5 })
  },
)

test('a zone is preferred while one of its instances is up', async t => {
  const { registry, put, del } = bench(t)
  await put('near', { zone: 'a' })
  await put('far', { zone: 'b' })
  const { discovery } = await discover(registry, 'web', { zone: 'a' })
  expect(picked(() => discovery.pick(), 4)).toEqual({ near: 4 })
  await reached(discovery, await put('near', { zone: 'a', status: 'leaving' }))
  expect(picked(() => discovery.pick(), 4)).toEqual({ far: 4 })
  await reached(discovery, await del('near'))
  await reached(discovery, await put('near2', { zone: 'a' }))
  expect(picked(() => discovery.pick(), 4)).toEqual({ near2: 4 })
  expect(discovery.instances).toHaveLength(2)
})

test('a balancer of the user gets the same frozen array until it changes, and the context', async t => {
  const { registry, put } = bench(t)
  await put('a')
  const seen: unknown[][] = []
  const balancer = () => (instances: readonly ServiceInstance[], context?: PickContext) => {
    seen.push([instances, context])
    return instances[0]
  }
  const { discovery } = await discover(registry, 'web', { balancer })
  discovery.pick({ key: 'k' })
  discovery.pick()
  await reached(discovery, await put('b'))
  discovery.pick()
  expect(seen[0]![1]).toEqual({ key: 'k' })
  expect(seen[1]![0]).toBe(seen[0]![0])
  expect(seen[2]![0]).not.toBe(seen[0]![0])
  expect(Object.isFrozen(seen[0]![0])).toBe(true)
})

test('iteration gives the table, then each newer one, and ends with close()', async t => {
  const { registry, put } = bench(t)
  const discovery = registry.discover('web')
  const witness = new Witness(discovery)
  const tables: string[][] = []
  let seen = () => {}
  const iteration = (async () => {
    for await (const instances of discovery) {
      tables.push(ids(instances))
      seen()
    }
  })()
  const table = (count: number) =>
    new Promise<void>(resolve => {
      seen = () => tables.length >= count && resolve()
      seen()
    })
  await table(1)
  for (const [i, id] of ['a', 'b'].entries()) {
    await put(id)
    await table(i + 2)
  }
  expect(tables).toEqual([[], ['a'], ['a', 'b']])
  await discovery.close()
  await iteration
  expect(witness.differences()).toEqual([])
})

test('a slow reader of an iteration gets the latest table only', async t => {
  const { registry, put } = bench(t)
  await put('a')
  const discovery = registry.discover('web')
  const tables = discovery[Symbol.asyncIterator]()
  expect(ids((await tables.next()).value)).toEqual(['a'])
  for (const id of ['b', 'c', 'd']) await reached(discovery, await put(id))
  expect(ids((await tables.next()).value)).toEqual(['a', 'b', 'c', 'd'])
  const pending = tables.next()
  await discovery.close()
  expect(await pending).toEqual({ done: true, value: undefined })
})

test('an instance is frozen through and through, and the same object for everyone', async t => {
  const { registry, put } = bench(t)
  await put('a', { metadata: { k: 'v' } })
  const discovery = registry.discover('web')
  const added = nextEvent(discovery, 'change') as Promise<{ added: ServiceInstance[] }>
  await discovery.ready()
  const instance = discovery.instances[0]!
  for (const part of [instance, instance.metadata, instance.endpoints])
    expect(Object.isFrozen(part)).toBe(true)
  expect((await added).added[0]).toBe(instance)
  expect(registry.discover('web').instances[0]).toBe(instance)
  expect(JSON.parse(JSON.stringify(instance))).toMatchObject({ id: 'a', metadata: { k: 'v' }, status: 'up' })
})
