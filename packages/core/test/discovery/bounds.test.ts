import { expect, test } from 'vitest'
import type { Connection } from '../../src/etcd/client/connection.ts'
import { EtcdRegisterError } from '../../src/etcd/support/errors.ts'
import { RangeWatch } from '../../src/etcd/watch/key-watch.ts'
import { RangeReader } from '../../src/etcd/watch/range-reader.ts'
import type { WatchHandlers, WatchStream } from '../../src/etcd/watch/watch-stream.ts'
import type { WatchedKeys } from '../../src/etcd/watch/watched-keys.ts'
import type { RangePage } from '../../src/etcd/wire/range-page.ts'
import { MovedClock } from '../support/moved-clock.ts'

const pace = { bytes: 1_000_000, answered() {} }
const empty: RangePage = {
  ...{ revision: 9, count: 0, next: undefined, more: false, length: 0, bytes: 0, member: 'etcd' },
  times: { total: 0, transfer: 0 },
  at: () => {
    throw new Error('it is empty')
  },
}

test('what changed since a list is not read for ever where etcd compacts its history each time', async () => {
  let counted = 0
  const range = async ({ count_only = false }) => {
    if (!count_only) return empty
    counted += 1
    throw new EtcdRegisterError('ERR_ETCD_COMPACTED', 'compacted')
  }
  const reader = new RangeReader({ pace, range } as unknown as Connection, { prefix: 'a/' })
  await expect(reader.changesSince(5, ['a/k'])).rejects.toMatchObject({ code: 'ERR_ETCD_COMPACTED' })
  expect(counted).toBe(10)
})

test('events of ever new keys end as a list of so many does: its member is not believed', async () => {
  const distrusted: string[] = []
  let handlers!: WatchHandlers
  const stream = {
    proxied: false,
    watch: (_: unknown, given: WatchHandlers) => {
      handlers = given
      return () => {}
    },
    distrust: (why: string) => distrusted.push(why),
  } as unknown as WatchStream
  let size = 0
  const keys = { revisionOf: () => undefined, apply: () => {}, failed: () => {} }
  Object.defineProperty(keys, 'size', { get: () => size })
  const connection = { pace, range: async () => empty, pause: async () => {} } as unknown as Connection
  const clock = new MovedClock()
  const watch = new RangeWatch(
    { connection, stream, clock },
    { prefix: 'a/' },
    keys as unknown as WatchedKeys,
    5,
  )
  const event = (revision: number) => handlers.onEvents([{ type: 'delete', key: `a/${revision}`, revision }])
  size = 1_000_000
  event(5)
  expect(distrusted).toEqual([])
  size += 1
  event(6)
  expect(distrusted).toEqual(['a range of more than 1000000 keys'])
  watch.close()
})
