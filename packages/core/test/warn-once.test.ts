import { expect, test } from 'vitest'
import { WarnOnce } from '../src/etcd/support/warn-once.ts'
import { MovedClock } from './support/moved-clock.ts'
import { keepLog } from './support/read-side.ts'

function aCondition() {
  const clock = new MovedClock()
  const log = keepLog()
  const condition = new WarnOnce(clock, log)
  const line = (message: string) => ({ fields: {}, message })
  return {
    clock,
    begins: (kind: string, after?: number, message = kind) => condition.begins(kind, line(message), after),
    ends: () => condition.ends(() => line('over')),
    condition,
    lines: () => log.lines.map(({ level, message }) => `${level} ${message}`),
  }
}

test('a condition is one warning however often it is met, and one at the same level when it is over', () => {
  const { begins, ends, lines } = aCondition()
  ends()
  for (let n = 0; n < 5; n += 1) begins('away')
  expect(lines()).toEqual(['warn away'])
  for (let n = 0; n < 5; n += 1) ends()
  expect(lines()).toEqual(['warn away', 'warn over'])
})

test('another cause of it is told of, too, and it is over once', () => {
  const { begins, ends, lines } = aCondition()
  for (const kind of ['away', 'auth', 'away', 'auth']) begins(kind)
  ends()
  expect(lines()).toEqual(['warn away', 'warn auth', 'warn over'])
})

test('one that comes and goes is told of once a minute, and one that stays is told of in any case', () => {
  const { clock, begins, ends, lines } = aCondition()
  for (let n = 0; n < 50; n += 1) {
    begins('away')
    ends()
    clock.advance(1000)
  }
  expect(lines()).toEqual(['warn away', 'warn over'])
  begins('away')
  clock.advance(10_000)
  expect(lines()).toEqual(['warn away', 'warn over', 'warn away'])
  ends()
  expect(lines()).toHaveLength(4)
})

test('one that has to last is told of with what was met last, and not at all if it is over before', () => {
  const { clock, begins, ends, lines } = aCondition()
  begins('broken', 10_000)
  clock.advance(9999)
  ends()
  begins('broken', 10_000)
  begins('broken', 10_000, 'broken again')
  clock.advance(9999)
  expect(lines()).toEqual([])
  clock.advance(1)
  ends()
  expect(lines()).toEqual(['warn broken again', 'warn over'])
  expect(clock.waiting).toBe(0)
})

test('one that another warning tells of begins without a line, and ends with one', () => {
  const { condition, ends, lines } = aCondition()
  condition.begins('away')
  ends()
  expect(lines()).toEqual(['warn over'])
})

test('nothing is told once nobody is concerned', () => {
  const { clock, condition, begins, ends, lines } = aCondition()
  begins('broken', 10_000)
  condition.close()
  clock.advance(10_000)
  ends()
  expect(lines()).toEqual([])
})

test('what another warning tells of from now on is not told, and the end of what was told is', () => {
  const { clock, condition, begins, ends, lines } = aCondition()
  begins('broken', 10_000)
  condition.dropUntold()
  clock.advance(10_000)
  ends()
  expect(lines()).toEqual([])
  begins('away')
  begins('broken', 10_000)
  condition.dropUntold()
  clock.advance(10_000)
  ends()
  expect(lines()).toEqual(['warn away', 'warn over'])
  expect(clock.waiting).toBe(0)
})
