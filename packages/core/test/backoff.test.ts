import { expect, test } from 'vitest'
import { backoff } from '../src/etcd/support/backoff.ts'

const longest = (attempt: number) => backoff(attempt, { random: () => 1 })

test('the limit grows from 200 ms to 5 s and no further, however long it fails', () => {
  const limits = [0, 1, 2, 3, 5, 8].map(longest)
  expect(limits).toEqual([200, 300, 450, 675, 1518.75, 5000])
  expect([9, 100, 1e6, Number.MAX_SAFE_INTEGER].map(longest)).toEqual([5000, 5000, 5000, 5000])
})

test('full jitter: anything from at once to the limit', () => {
  expect(backoff(0, { random: () => 0 })).toBe(0)
  expect(backoff(0, { random: () => 0.25 })).toBe(50)
  expect(backoff(100, { random: () => 0.5 })).toBe(2500)
})
