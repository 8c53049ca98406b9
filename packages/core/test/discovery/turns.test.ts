import { expect, test } from 'vitest'
import type { Connection } from '../../src/etcd/client/connection.ts'
import { RangeReader } from '../../src/etcd/watch/range-reader.ts'
import type { RangePage } from '../../src/etcd/wire/range-page.ts'

/** The most keys of one page that are read without a turn of the event loop. */
async function keysAtOnce(length: number, size: number): Promise<number> {
  const entry = { key: 'a/k', value: Buffer.alloc(0), revision: 1, created: 1, lease: '0' }
  const page: RangePage = {
    ...{ revision: 1, count: length, next: undefined, more: false, length, bytes: length * size },
    member: 'etcd',
    times: { total: 0, transfer: 0 },
    at: () => entry,
  }
  const pace = { bytes: 1_000_000, answered() {} }
  const connection = { pace, range: async () => page } as unknown as Connection
  const perTurn = [0]
  let over = false
  const turn = () => {
    perTurn.push(0)
    if (!over) setImmediate(turn)
  }
  setImmediate(turn)
  await new RangeReader(connection, { prefix: 'a/' }).each(0, () => {
    perTurn[perTurn.length - 1]! += 1
  })
  over = true
  return Math.max(...perTurn)
}

test('others have their turn after some keys of a list, and after fewer where these are large', async () => {
  expect(await keysAtOnce(5000, 300)).toBeGreaterThan(400)
  expect(await keysAtOnce(5000, 300)).toBeLessThan(1100)
  expect(await keysAtOnce(200, 65_536)).toBeLessThan(20)
})
