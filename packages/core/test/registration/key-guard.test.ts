import { expect, it } from 'vitest'
import type { KeyEvent, KeyValue } from '../../src/etcd/key-value.ts'
import { KeyGuard } from '../../src/key-guard.ts'

const at = (revision: number): KeyValue => ({
  key: 'ours',
  value: Buffer.from(String(revision)),
  revision,
  lease: '1',
})
const put = (revision: number): KeyEvent => ({ type: 'put', ...at(revision) })
const del = (revision: number) => ({ type: 'delete', key: 'ours', revision }) as KeyEvent

/** Of a key that we put at revision 5; what it saw: the value, or that it is gone, and the revision. */
function aGuard() {
  const seen: [string | undefined, number | undefined][] = []
  const guard = new KeyGuard(
    () => () => {},
    'ours',
    { revision: 5, present: true },
    (found, revision) => {
      seen.push([found?.value.toString(), revision])
    },
  )
  return { guard, seen }
}

it('of several changes of a key at once the last one is seen', () => {
  const { guard, seen } = aGuard()
  guard.apply([del(6), put(7)])
  guard.apply([put(8), del(9)])
  expect(seen).toEqual([
    ['7', 7],
    [undefined, 9],
  ])
})

it('after a gap it is seen what became of a key, at the revision of that, once', () => {
  const { guard, seen } = aGuard()
  guard.reset([at(5)], 8)
  expect(seen).toEqual([])
  guard.reset([at(7)], 9)
  guard.reset([at(7)], 10)
  guard.reset([], 11)
  guard.reset([], 12)
  expect(seen).toEqual([
    ['7', 7],
    [undefined, 11],
  ])
})

it('of a store that went back no revision counts, also where the key stands as it did', () => {
  for (const follow of [
    (guard: KeyGuard) => guard.reset([at(5)], 9),
    (guard: KeyGuard) => guard.apply([del(8), put(9)]),
  ]) {
    const { guard, seen } = aGuard()
    follow(guard)
    seen.length = 0
    guard.reset([at(5)], 6)
    guard.reset([at(5)], 6)
    guard.reset([], 4)
    expect(seen).toEqual([
      ['5', undefined],
      [undefined, undefined],
    ])
  }
})
