import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest'
import { Connection } from '../../src/etcd/client/connection.ts'
import { type Clock, systemClock } from '../../src/etcd/support/clock.ts'
import { RangeWatch } from '../../src/etcd/watch/key-watch.ts'
import { WatchStream } from '../../src/etcd/watch/watch-stream.ts'
import type { WatchedKeys } from '../../src/etcd/watch/watched-keys.ts'
import type { KeyEvent, KeyValue } from '../../src/etcd/wire/key-value.ts'
import { resolveOptions } from '../../src/registry/options.ts'
import { MovedClock } from '../support/moved-clock.ts'
import { readKeys } from '../support/oracle.ts'
import { openWriter } from '../support/read-side.ts'

let etcd: EtcdMember

beforeAll(async () => {
  etcd = await startEtcdBinary()
})
afterAll(() => etcd.stop())

/** Holds what it is told, unless a test makes it wrong. */
class Keys implements WatchedKeys {
  readonly held = new Map<string, KeyValue>()
  resets = 0
  fresh: () => void = () => {}
  get size() {
    return this.held.size
  }
  revisionOf(key: string) {
    return this.held.get(key)?.revision
  }
  list() {
    const found: KeyValue[] = []
    return {
      add: ({ key, value, revision, created, lease }: KeyValue) =>
        void found.push({ key, value, revision, created, lease }),
      done: () => {
        this.resets += 1
        this.held.clear()
        for (const entry of found) this.held.set(entry.key, entry)
      },
    }
  }
  apply(events: readonly KeyEvent[]) {
    for (const event of events) {
      if (event.type === 'put') this.held.set(event.key, event)
      else this.held.delete(event.key)
    }
  }
  sync(fresh: boolean) {
    if (fresh) this.fresh()
  }
  failed() {}
  get values() {
    return new Map([...this.held].map(([key, { value }]) => [key, value.toString()]))
  }
}

/** A watch over a prefix; the clock of its reconcile is moved by hand. */
async function follow(t: TestContext, prefix: string, { from = 0, chance = 0.5 } = {}) {
  const clock = new MovedClock(chance)
  const options = resolveOptions({ hosts: etcd.endpoint, logger: false })
  const connection = new Connection(options, systemClock)
  const stream = new WatchStream(connection, systemClock, options.logger)
  const keys = new Keys()
  const fresh = new Promise<void>(resolve => {
    keys.fresh = resolve
  })
  const watch = new RangeWatch({ connection, stream, clock: clock as Clock }, { prefix }, keys, from)
  t.onTestFinished(async () => {
    watch.close()
    stream.close()
    await connection.close()
  })
  await fresh
  return { clock, keys, watch, writer: openWriter(t, etcd.endpoint) }
}

const entries = (prefix: string, count: number) =>
  Array.from({ length: count }, (_, i) => ({ put: `${prefix}n${i}`, value: `${i}` }))

test('a reconcile repairs what went wrong unseen, and counts it', async t => {
  const { clock, keys, watch, writer } = await follow(t, '/wrong/')
  await writer.fill(entries('/wrong/', 20))
  await expect.poll(() => keys.size).toBe(20)
  keys.held.delete('/wrong/n1')
  keys.held.set('/wrong/ghost', {
    key: '/wrong/ghost',
    value: Buffer.from(''),
    revision: 1,
    created: 1,
    lease: '0',
  })
  keys.held.set('/wrong/n2', { ...keys.held.get('/wrong/n2')!, revision: 1 })
  clock.advance(299_999)
  expect(clock.waiting).toBe(1)
  clock.advance(300_001)
  await expect.poll(() => keys.resets).toBe(2)
  expect(keys.values).toEqual(await readKeys(etcd, '/wrong/'))
  expect(watch.counts).toMatchObject({ repairs: 3, relists: 1 })

  await expect.poll(() => clock.waiting).toBe(1)
  clock.advance(600_000)
  await expect.poll(() => clock.waiting).toBe(1)
  expect(watch.counts).toMatchObject({ repairs: 3, relists: 1 })
})

test.for([
  [0, 300_000],
  [0.25, 375_000],
  [0.75, 525_000],
])(
  'a reconcile comes when chance wants, so that a fleet does not list together: %f',
  async ([chance, due], t) => {
    const { clock, keys, writer } = await follow(t, `/chance${chance}/`, { chance })
    await writer.put(`/chance${chance}/a`, '1')
    await expect.poll(() => keys.size).toBe(1)
    keys.held.clear()
    clock.advance(due! - 1)
    expect(clock.waiting, 'not yet').toBe(1)
    clock.advance(1)
    expect(clock.waiting, 'now').toBe(0)
    await expect.poll(() => keys.size).toBe(1)
  },
)

test('a reconcile in the midst of writes finds nothing to repair', async t => {
  const { clock, keys, watch, writer } = await follow(t, '/busy/')
  await writer.fill(entries('/busy/', 3000))
  let done = false
  let round = 0
  const writing = (async () => {
    for (; !done; round += 1) {
      const id = (i: number) => `/busy/n${(round * 37 + i * 11) % 3000}`
      await writer.writeEach([
        ...Array.from({ length: 10 }, (_, i) => ({ put: id(i), value: `${round}` })),
        { del: id(3) },
        { put: `/busy/new${round}`, value: '' },
      ])
    }
  })()
  for (let times = 0; times < 15 || round < 15; times += 1) {
    await expect.poll(() => clock.waiting, { interval: 2 }).toBe(1)
    clock.advance(600_000)
  }
  await expect.poll(() => clock.waiting, { interval: 2 }).toBe(1)
  done = true
  await writing
  const expected = await readKeys(etcd, '/busy/')
  await expect.poll(() => keys.values).toEqual(expected)
  expect(watch.counts).toEqual({ repairs: 0, relists: 0, reconnects: 0 })
})

test('a reconcile after the history was compacted lists again and counts no repair', async t => {
  const { clock, keys, watch, writer } = await follow(t, '/idle/')
  await writer.put('/idle/a', '1')
  await expect.poll(() => keys.size).toBe(1)
  for (let i = 0; i < 5; i += 1) await writer.put('/elsewhere', `${i}`)
  await etcd.compact()
  clock.advance(600_000)
  await expect.poll(() => keys.resets).toBe(2)
  expect(watch.counts).toMatchObject({ repairs: 0, relists: 1 })
  expect(keys.values).toEqual(new Map([['/idle/a', '1']]))
})

test('a watch from a revision that the store has not reached lists again within a second', async t => {
  const writer = openWriter(t, etcd.endpoint)
  await writer.put('/early/a', '1')
  const { clock, keys } = await follow(t, '/early/', { from: 1_000_000 })
  expect(keys.size).toBe(0)
  clock.advance(1000)
  await expect.poll(() => keys.values).toEqual(new Map([['/early/a', '1']]))
  await writer.put('/early/b', '2')
  await expect.poll(() => keys.size).toBe(2)
})
