import { expect, test } from 'vitest'
import { get, set, startHostileEtcd } from '../../../../fixtures/hostile-etcd/index.ts'
import { valueFor } from '../support/raw-writer.ts'
import {
  discover,
  keepLog,
  nextEvent,
  openRegistry,
  openWriter,
  reached,
  startEtcd,
  startProxy,
  untilFresh,
} from '../support/read-side.ts'
import { until } from '../support/until.ts'

/** Fields of RangeRequest and of RangeResponse: https://github.com/etcd-io/etcd/blob/main/api/etcdserverpb/rpc.proto */
const [SORT_TARGET, COUNT] = [6, 4]

const entry = (name: string, id: string, fields: object = {}) => ({
  put: `/services/${name}/${id}`,
  value: valueFor(name, id, fields),
})

test.concurrent('fresh comes once the table is current: after a cut with a backlog nothing that is gone is picked', async t => {
  const etcd = await startEtcd(t)
  const link = await startProxy(t, etcd)
  const writer = openWriter(t, etcd.endpoint)
  await writer.fill(Array.from({ length: 50 }, (_, i) => entry('web', `old${i}`)))
  const { discovery } = await discover(openRegistry(t, link.endpoint), 'web')
  await untilFresh(discovery)
  await link.cut()
  await nextEvent(discovery, 'stale')
  await writer.writeEach(
    Array.from({ length: 3000 }, (_, i) => entry('web', `n${i % 50}`, { version: `${i}` })),
  )
  const last = await writer.write(Array.from({ length: 50 }, (_, i) => ({ del: `/services/web/old${i}` })))
  const fresh = nextEvent(discovery, 'fresh').then(() => ({
    revision: Number(discovery.revision),
    gone: discovery.instances.filter(({ id }) => id.startsWith('old')).length,
  }))
  await link.restore()
  expect(await fresh).toEqual({ revision: last, gone: 0 })
})

test.concurrent('what is ready is fresh', async t => {
  const etcd = await startEtcd(t)
  await openWriter(t, etcd.endpoint).write([entry('web', 'a')])
  for (let i = 0; i < 10; i += 1) {
    const { discovery } = await discover(openRegistry(t, etcd.endpoint), 'web')
    expect(discovery.stale).toBe(false)
  }
})

test.concurrent('fresh comes to a service in which nothing happened, however much happened elsewhere', async t => {
  const etcd = await startEtcd(t)
  const link = await startProxy(t, etcd)
  const writer = openWriter(t, etcd.endpoint)
  await writer.write([entry('quiet', 'a'), entry('empty', 'a'), entry('brief', 'a')])
  await writer.del('/services/empty/a')
  const registry = openRegistry(t, link.endpoint)
  const found = await Promise.all(['quiet', 'empty', 'brief'].map(name => discover(registry, name)))
  for (const { discovery } of found) await untilFresh(discovery)
  await link.cut()
  await Promise.all(found.map(({ discovery }) => nextEvent(discovery, 'stale')))
  for (let i = 0; i < 20; i += 1) await writer.write([entry('busy', `n${i}`)])
  // what came and went while nobody looked leaves no trace in the range
  await writer.write([entry('brief', 'b')])
  await writer.del('/services/brief/b')
  const fresh = Promise.all(found.map(({ discovery }) => nextEvent(discovery, 'fresh')))
  await link.restore()
  await fresh
  for (const { discovery, witness } of found) {
    expect(discovery.instances.map(({ id }) => id)).toEqual(discovery.name === 'empty' ? [] : ['a'])
    expect(witness.differences()).toEqual([])
  }
})

test.concurrent('inside a change listener the revision is that of the change, from the first one on', async t => {
  const etcd = await startEtcd(t)
  const writer = openWriter(t, etcd.endpoint)
  const registry = openRegistry(t, etcd.endpoint)
  const formats = ['json', ['json', 'kratos']] as const
  await writer.write([entry('web', 'a')])
  const listed = await writer.put('/elsewhere', '')
  for (const format of formats) {
    const discovery = registry.discover('web', { format: format as 'json' })
    const seen: number[] = []
    discovery.on('change', () => seen.push(Number(discovery.revision)))
    await discovery.ready()
    expect(seen, String(format)).toEqual([listed])
    seen.length = 0
    await discovery.close()
  }
  const { discovery } = await discover(registry, 'web')
  const seen: number[] = []
  discovery.on('change', () => seen.push(Number(discovery.revision)))
  const revisions: number[] = []
  for (const operation of [entry('web', 'b'), entry('web', 'c'), { del: '/services/web/a' }]) {
    revisions.push(await writer.write([operation]))
    await reached(discovery, revisions.at(-1)!)
  }
  expect(seen).toEqual(revisions)
})

test.concurrent('where a range stands is not believed to a member that counts keys that nobody has', async t => {
  const etcd = await startEtcd(t)
  const writer = openWriter(t, etcd.endpoint)
  await writer.write([entry('web', 'a'), entry('web', 'b')])
  const hostile = await startHostileEtcd(etcd, {
    method: 'Range',
    answer: (message, request) =>
      get(request, SORT_TARGET) === undefined ? message : set(message, COUNT, 3n),
  })
  t.onTestFinished(() => hostile.stop())
  const logger = keepLog()
  const registry = openRegistry(t, hostile.endpoint, { logger })
  // A list is at the revision of its moment: the watch begins later, so that somebody has to say where the range stands.
  let over = false
  const writing = (async () => {
    while (!over) await writer.put('/elsewhere', '')
  })()
  const { discovery } = await discover(registry, 'web')
  const told = /sent an invalid answer to a read \(3 keys, none of which is newer than the 2 that are known\)/
  await until(() => logger.of('warn').some(line => told.test(line)))
  expect(discovery.stale).toBe(true)
  hostile.trick = undefined
  await untilFresh(discovery)
  over = true
  await writing
  expect(discovery.instances).toHaveLength(2)
})
