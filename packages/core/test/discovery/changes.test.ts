import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { Witness } from '../support/oracle.ts'
import { valueFor } from '../support/raw-writer.ts'
import {
  discover,
  keepLog,
  nextEvent,
  openRegistry,
  openWriter,
  reached,
  startProxy,
  untilFresh,
} from '../support/read-side.ts'

let etcd: EtcdMember

beforeAll(async () => {
  etcd = await startEtcdBinary()
})
afterAll(() => etcd.stop())

const entry = (id: string, fields: object = {}) => ({
  put: `/services/web/${id}`,
  value: valueFor('web', id, fields),
})

test('a put of an equal value is no change, and the array stays the same', async t => {
  const registry = openRegistry(t, etcd.endpoint, { namespace: '/equal' })
  const writer = openWriter(t, etcd.endpoint)
  const value = valueFor('web', 'x', { metadata: { a: '1', b: '2' }, weight: 5 })
  await writer.put('/equal/web/x', value)
  const { discovery, witness } = await discover(registry, 'web')
  const before = discovery.instances
  const reversed = JSON.stringify(Object.fromEntries(Object.entries(JSON.parse(value)).reverse()))
  expect(reversed).not.toBe(value)
  for (const equal of [value, reversed, ` ${value} `]) {
    await reached(discovery, await writer.put('/equal/web/x', equal))
    expect(discovery.instances).toBe(before)
  }
  expect(witness.changes).toHaveLength(1)
  await reached(discovery, await writer.put('/equal/web/x', valueFor('web', 'x')))
  expect(witness.changes).toHaveLength(2)
  expect(discovery.instances).not.toBe(before)
})

test('whatever happened within one response, only what is different after it is told', async t => {
  const proxy = await startProxy(t, etcd)
  const registry = openRegistry(t, proxy.endpoint, { namespace: '/batch' })
  const writer = openWriter(t, etcd.endpoint)
  const put = (id: string, fields = {}) => writer.put(`/batch/web/${id}`, valueFor('web', id, fields))
  for (const id of ['there', 'back', 'gone', 'new']) await put(id)
  const { discovery, witness } = await discover(registry, 'web')
  await untilFresh(discovery)
  const before = discovery.instances
  await proxy.cut()
  await nextEvent(discovery, 'stale')
  await writer.del('/batch/web/there')
  await put('there')
  await put('back', { version: '2' })
  await put('back')
  await put('brief')
  const last = await writer.del('/batch/web/brief')
  await proxy.restore()
  await reached(discovery, last)
  await untilFresh(discovery)
  expect(witness.changes).toHaveLength(1)
  expect(witness.differences()).toEqual([])
  expect(discovery.instances).toBe(before)
})

test('one response of the watch is one change, however much is in it', async t => {
  const registry = openRegistry(t, etcd.endpoint)
  const writer = openWriter(t, etcd.endpoint)
  const ids = Array.from({ length: 40 }, (_, i) => `n${i}`)
  await writer.write(ids.map(id => entry(id)))
  const { discovery, witness } = await discover(registry, 'web')
  const revision = await writer.write([
    ...ids.slice(0, 10).map(id => ({ del: `/services/web/${id}` })),
    ...ids.slice(10, 30).map(id => entry(id, { version: '2' })),
    ...ids.slice(0, 5).map(id => entry(`${id}-new`)),
  ])
  await reached(discovery, revision)
  expect(witness.changes).toHaveLength(2)
  const { added, removed, updated, instances } = witness.changes[1]!
  expect([added.length, removed.length, updated.length]).toEqual([5, 10, 20])
  expect(instances).toBe(discovery.instances)
  expect(instances).toHaveLength(35)
  expect(Object.isFrozen(instances)).toBe(true)
  expect(witness.differences()).toEqual([])
})

test('a listener that throws or rejects harms nobody and is logged', async t => {
  const logger = keepLog()
  const registry = openRegistry(t, etcd.endpoint, { namespace: '/throws', logger })
  const writer = openWriter(t, etcd.endpoint)
  const harmed = registry.discover('web')
  harmed.on('change', () => {
    throw new Error('thrown')
  })
  harmed.on('change', async () => {
    throw new Error('rejected')
  })
  harmed.on('fresh', () => {
    throw new Error('thrown at fresh')
  })
  const behind = new Witness(harmed)
  const beside = new Witness(registry.discover('web'))
  await untilFresh(harmed)
  await reached(harmed, await writer.put('/throws/web/a', valueFor('web', 'a')))
  await reached(harmed, await writer.put('/throws/web/b', valueFor('web', 'b')))
  for (const witness of [behind, beside]) {
    expect(witness.changes).toHaveLength(2)
    expect(witness.differences()).toEqual([])
  }
  const errors = logger.lines.filter(({ level }) => level === 'error').map(({ fields }) => String(fields.err))
  expect(errors.sort()).toEqual([
    'Error: rejected',
    'Error: rejected',
    'Error: thrown',
    'Error: thrown',
    'Error: thrown at fresh',
  ])
})

test('two discoveries of a name share one watch, and closing one leaves the other', async t => {
  const registry = openRegistry(t, etcd.endpoint, { namespace: '/shared' })
  const writer = openWriter(t, etcd.endpoint)
  await writer.put('/shared/web/a', valueFor('web', 'a'))
  const first = await discover(registry, 'web')
  await untilFresh(first.discovery)
  const watchers = async () => (await etcd.metrics()).get('etcd_debugging_mvcc_watcher_total')
  // Those of the tests before are on their way out.
  await expect.poll(watchers).toBe(1)
  const second = await discover(registry, 'web')
  expect(registry.status().watches).toHaveLength(1)
  expect(await watchers()).toBe(1)
  expect(second.discovery.instances).toBe(first.discovery.instances)
  expect(second.witness.changes[0]!.added.map(({ id }) => id)).toEqual(['a'])

  await first.discovery.close()
  const kept = first.discovery.instances
  await reached(second.discovery, await writer.put('/shared/web/b', valueFor('web', 'b')))
  expect(second.discovery.instances).toHaveLength(2)
  expect(first.discovery.instances).toBe(kept)
  expect(first.witness.changes).toHaveLength(1)
  await expect(first.discovery.ready()).rejects.toMatchObject({ code: 'ERR_CLOSED' })
  await second.discovery.close()
  expect(registry.status().watches).toEqual([])
  await expect.poll(watchers).toBe(0)
})

test('services() names everyone who has a live instance, and nobody else', async t => {
  const registry = openRegistry(t, etcd.endpoint, { namespace: '/roll' })
  const writer = openWriter(t, etcd.endpoint)
  expect(await registry.services()).toEqual([])
  const names = Array.from({ length: 150 }, (_, i) => `svc-${i}`)
  await writer.fill(
    names.flatMap(name => ['a', 'b'].map(id => ({ put: `/roll/${name}/${id}`, value: valueFor(name, id) }))),
  )
  await writer.put('/roll/garbage/a', 'garbage')
  await writer.put('/roll/-bad name/a', valueFor('-bad name', 'a'))
  await writer.put('/roll/we', valueFor('w', 'a'))
  await writer.put('/roll2/other/a', valueFor('other', 'a'))
  expect(await registry.services()).toEqual([...names].sort())
})
