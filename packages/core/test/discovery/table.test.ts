import { afterEach, expect, test, vi } from 'vitest'
import { InstanceTable } from '../../src/discovery/instance-table.ts'
import type { KeyValue } from '../../src/etcd/wire/key-value.ts'
import { jsonFormat } from '../../src/formats/json.ts'
import { MovedClock } from '../support/moved-clock.ts'
import { valueFor } from '../support/raw-writer.ts'
import { keepLog } from '../support/read-side.ts'

afterEach(() => vi.restoreAllMocks())

const ROWS = 10_000

const entry = (i: number, version = '') => ({
  key: `/services/web/n${i}`,
  value: Buffer.from(valueFor('web', `n${i}`, { version })),
  revision: i,
  created: i,
  lease: '0',
})

/** How often anybody has gone through a map of that size. */
function countWalks() {
  let walks = 0
  for (const way of ['values', 'entries', 'keys', 'forEach', Symbol.iterator] as const) {
    const real = Map.prototype[way] as (...args: unknown[]) => never
    vi.spyOn(Map.prototype, way as 'values').mockImplementation(function (
      this: Map<unknown, unknown>,
      ...args
    ) {
      if (this.size >= ROWS / 2) walks += 1
      return real.apply(this, args)
    })
  }
  return () => walks
}

test('a change goes through none of the other instances until somebody reads them, and then once', () => {
  const clock = new MovedClock()
  const formats = [{ format: jsonFormat(), namespace: '/services' }]
  const table = new InstanceTable({ name: 'web', formats, clock, logger: keepLog() })
  const keys = table.ranges[0]!.rows
  const listing = keys.list()
  for (let i = 0; i < ROWS; i += 1) listing.add(entry(i))
  listing.done(ROWS)
  const before = table.instances
  expect(before).toHaveLength(ROWS)
  const changes: string[] = []
  table.subscribe({
    changed: ({ added, removed, updated }) =>
      void changes.push(`+${added.length} -${removed.length} ~${updated.length}`),
    stale() {},
    fresh() {},
    failed() {},
  })

  const walks = countWalks()
  keys.apply([{ type: 'put', ...entry(7, '2') }])
  keys.apply([{ type: 'put', ...entry(ROWS) }])
  keys.apply([{ type: 'delete', key: '/services/web/n8', revision: ROWS + 1 }])
  keys.sync(true, 0)
  expect(keys.status()).toMatchObject({ instances: ROWS, stale: false })
  expect(walks()).toBe(0)
  expect(changes).toEqual(['+0 -0 ~1', '+1 -0 ~0', '+0 -1 ~0'])

  const after = table.instances
  expect(table.instances).toBe(after)
  expect(walks()).toBe(1)
  expect(after).not.toBe(before)
  expect(after).toHaveLength(ROWS)
})

test('of several ranges it is fresh and listed once all of them are', () => {
  const formats = [jsonFormat(), jsonFormat()].map((format, i) => ({ format, namespace: `/${i}` }))
  const table = new InstanceTable({ name: 'web', formats, clock: new MovedClock(), logger: keepLog() })
  const seen = table.ranges.map(({ rows }) => {
    rows.list().done(1)
    rows.sync(true, 0)
    return { listed: table.listed, stale: table.staleSince !== undefined }
  })
  expect(seen).toEqual([
    { listed: false, stale: true },
    { listed: true, stale: false },
  ])
})

test('a list that breaks off changes nothing, and complains of nothing', () => {
  const log = keepLog()
  const formats = [{ format: jsonFormat(), namespace: '/services' }]
  const table = new InstanceTable({ name: 'web', formats, clock: new MovedClock(), logger: log })
  const keys = table.ranges[0]!.rows
  const list = (...entries: KeyValue[]) => {
    const listing = keys.list()
    for (const found of entries) listing.add(found)
    return listing
  }
  const bad = { ...entry(3), value: Buffer.from('not JSON') }
  list(entry(1), entry(2)).done(2)
  const before = table.instances
  const status = keys.status()

  list(entry(1, '2'), bad)
  expect(table.instances).toBe(before)
  expect(keys.status()).toEqual(status)
  expect(log.lines).toEqual([])

  list(entry(1, '2'), bad).done(3)
  expect(table.instances.map(({ id, version }) => id + version)).toEqual(['n12'])
  expect(keys.status()).toMatchObject({ instances: 1, skipped: 1 })
  expect(log.of('warn')).toHaveLength(1)
  list(entry(1, '2'), bad).done(3)
  expect(log.of('warn')).toHaveLength(1)
  list(entry(1, '2')).done(4)
  expect(keys.status()).toMatchObject({ instances: 1, skipped: 0 })
})
