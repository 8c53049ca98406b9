import { setTimeout as pass } from 'node:timers/promises'
import { expect, type TestContext, test } from 'vitest'
import { get, set, startHostileEtcd } from '../../../../fixtures/hostile-etcd/index.ts'
import { Connection } from '../../src/etcd/client/connection.ts'
import { type Clock, systemClock } from '../../src/etcd/support/clock.ts'
import { WatchStream } from '../../src/etcd/watch/watch-stream.ts'
import { resolveOptions } from '../../src/registry/options.ts'
import { MovedClock } from '../support/moved-clock.ts'
import { openWriter, startEtcd } from '../support/read-side.ts'

/** Fields of WatchResponse: https://github.com/etcd-io/etcd/blob/main/api/etcdserverpb/rpc.proto */
const [CREATED, CANCELED, CANCEL_REASON] = [3, 4, 6]

/** A stream, and what becomes of its watches. */
async function openStream(t: TestContext, endpoint: string, clock: Clock = systemClock) {
  const options = resolveOptions({ hosts: endpoint, logger: false })
  const connection = new Connection(options, clock)
  const stream = new WatchStream(connection, clock, options.logger)
  t.onTestFinished(async () => {
    stream.close()
    await connection.close()
  })
  const watch = (key: string, from: number, end?: string) => {
    const seen: string[] = []
    const cancel = stream.watch(
      { key: Buffer.from(key), rangeEnd: end === undefined ? end : Buffer.from(end), from: () => from },
      {
        onCreated: () => seen.push('created'),
        onEvents: events => seen.push(...events.map(({ key, revision }) => `${key} ${revision}`)),
        onProgress: () => seen.push('progress'),
        onClosed: ({ code }) => seen.push(code),
      },
    )
    return { seen, cancel }
  }
  return { watch }
}

test.concurrent('a watch that etcd ends since its history is compacted silences none of the others', async t => {
  const etcd = await startEtcd(t)
  const writer = openWriter(t, etcd.endpoint)
  for (let i = 0; i < 5; i += 1) await writer.put('/a', `${i}`)
  const last = await writer.put('/b', '')
  await etcd.compact(last)
  const { watch } = await openStream(t, etcd.endpoint)
  const other = watch('/b', last + 1)
  await t.expect.poll(() => other.seen).toContain('created')
  const compacted = watch('/a', 3)
  await t.expect.poll(() => compacted.seen).toEqual(['created', 'ERR_ETCD_COMPACTED'])
  await pass(6000)
  const next = await writer.put('/b', 'again')
  await t.expect
    .poll(() => other.seen.filter(what => what !== `/b ${last}`))
    .toEqual(['created', `/b ${next}`])
})

test.concurrent('thousands of watches that are cancelled at once silence none of the others', async t => {
  const etcd = await startEtcd(t)
  const writer = openWriter(t, etcd.endpoint)
  const { watch } = await openStream(t, etcd.endpoint)
  const staying = watch('/staying', 1)
  const leaving = Array.from({ length: 3000 }, (_, i) => watch(`/leaving/${i}`, 1))
  await t.expect
    .poll(() => leaving.every(({ seen }) => seen.includes('created')), { timeout: 30_000 })
    .toBe(true)
  for (const { cancel } of leaving) cancel()
  const revision = await writer.put('/staying', '')
  await t.expect.poll(() => staying.seen, { timeout: 30_000 }).toContain(`/staying ${revision}`)
  expect(staying.seen.filter(what => what.startsWith('ERR_'))).toEqual([])
})

test.concurrent('a watch that is cancelled before it is created delivers nothing, and silences none of the others', async t => {
  const etcd = await startEtcd(t)
  const writer = openWriter(t, etcd.endpoint)
  const revision = await writer.put('/a', '')
  const { watch } = await openStream(t, etcd.endpoint)
  const kept = watch('/a', revision + 1)
  const cancelled = Array.from({ length: 20 }, () => watch('/a', revision + 1000))
  for (const { cancel } of cancelled) cancel()
  await t.expect.poll(() => kept.seen).toContain('created')
  const late = watch('/a', revision + 1000)
  await t.expect.poll(() => late.seen).toEqual(['created'])
  late.cancel()
  await pass(6000)
  const next = await writer.put('/a', 'again')
  await t.expect
    .poll(() => kept.seen.filter(what => what !== `/a ${revision}`))
    .toEqual(['created', `/a ${next}`])
  for (const { seen } of [...cancelled, late]) expect(seen.filter(what => what !== 'created')).toEqual([])
})

test.concurrent('a watch that is refused breaks none of the others: they go on over a new stream', async t => {
  const etcd = await startEtcd(t)
  const writer = openWriter(t, etcd.endpoint)
  const revision = await writer.put('/a', '')
  const { watch } = await openStream(t, etcd.endpoint)
  const kept = ['/a', '/b', '/c'].map(key => watch(key, revision + 1))
  for (const { seen } of kept) await t.expect.poll(() => seen).toContain('created')
  const refused = watch('/z', revision + 1, '/a')
  await t.expect.poll(() => refused.seen).toHaveLength(1)
  expect(refused.seen[0]).toMatch(/^ERR_ETCD_/)
  for (const { seen } of kept)
    await t.expect.poll(() => seen.filter(what => what === 'created')).toHaveLength(2)
  await writer.put('/b', '')
  await t.expect.poll(() => kept[1]!.seen.at(-1)).toBe(`/b ${revision + 1}`)
  expect(kept.flatMap(({ seen }) => seen.filter(what => what.startsWith('ERR_')))).toEqual([])
  await t.expect.poll(() => etcd.openStreams('Watch')).toBe(1)
})

test.concurrent('a known watch that is refused, since users changed again meanwhile, goes on when it no longer is', async t => {
  const etcd = await startEtcd(t)
  const writer = openWriter(t, etcd.endpoint)
  const revision = await writer.put('/a', '')
  let refusals = 0
  const hostile = await startHostileEtcd(etcd, {
    method: 'Watch',
    answer: message => {
      if (get(message, CREATED) !== 1n || refusals === 0) return message
      refusals -= 1
      const reason = Buffer.from('etcdserver: permission denied')
      return set(set(message, CANCELED, 1n), CANCEL_REASON, reason)
    },
  })
  t.onTestFinished(() => hostile.stop())
  const { watch } = await openStream(t, hostile.endpoint)
  const known = watch('/a', revision + 1)
  await t.expect.poll(() => known.seen).toContain('created')
  // The new one, and the known one when the stream is opened again, twice.
  refusals = 3
  const refused = watch('/b', 0)
  await t.expect.poll(() => refused.seen).toEqual(['ERR_ETCD_PERMISSION'])
  await t.expect.poll(() => known.seen.filter(what => what === 'created')).toHaveLength(2)
  const next = await writer.put('/a', 'again')
  await t.expect.poll(() => known.seen).toContain(`/a ${next}`)
  t.expect(known.seen.filter(what => what.startsWith('ERR_'))).toEqual([])
})

test.concurrent('a server that refuses known watches on and on is asked with a pause', async t => {
  const etcd = await startEtcd(t)
  const writer = openWriter(t, etcd.endpoint)
  const revision = await writer.put('/a', '')
  let streams = 0
  let refuses = false
  const hostile = await startHostileEtcd(etcd, {
    method: 'Watch',
    answer: message => {
      if (get(message, CREATED) !== 1n || !refuses) return message
      streams += 1
      // Of each stream the first one: none of them is refused more than once in a row.
      return set(set(message, CANCELED, 1n), CANCEL_REASON, Buffer.from('etcdserver: permission denied'))
    },
  })
  t.onTestFinished(() => hostile.stop())
  const clock = new MovedClock()
  const { watch } = await openStream(t, hostile.endpoint, clock)
  const known = Array.from({ length: 20 }, (_, i) => watch(`/${i}`, revision + 1))
  for (const { seen } of known) await t.expect.poll(() => seen).toContain('created')
  refuses = true
  watch('/new', revision + 1)
  await t.expect.poll(() => streams).toBe(4)
  // As long as so many reads take.
  for (let i = 0; i < 50; i += 1) await writer.write([])
  t.expect(streams).toBe(4)
  refuses = false
  clock.advance(10_000)
  for (const { seen } of known)
    await t.expect.poll(() => seen.filter(what => what === 'created').length).toBeGreaterThan(1)
})
