import { expect, it } from 'vitest'
import type { KeyEvent, KeyValue } from '../../src/etcd/key-value.ts'
import { KeyGuard } from '../../src/key-guard.ts'

const at = (revision: number): KeyValue => ({
  key: 'ours',
  value: Buffer.from(String(revision)),
  revision,
  created: 5,
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

function list(guard: KeyGuard, entries: KeyValue[], revision: number): void {
  const listing = guard.list()
  for (const entry of entries) listing.add(entry)
  listing.done(revision)
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
  list(guard, [at(5)], 8)
  expect(seen).toEqual([])
  list(guard, [at(7)], 9)
  list(guard, [at(7)], 10)
  list(guard, [], 11)
  list(guard, [], 12)
  expect(seen).toEqual([
    ['7', 7],
    [undefined, 11],
  ])
})

it('of a store that went back no revision counts, also where the key stands as it did', () => {
  for (const follow of [
    (guard: KeyGuard) => list(guard, [at(5)], 9),
    (guard: KeyGuard) => guard.apply([del(8), put(9)]),
  ]) {
    const { guard, seen } = aGuard()
    follow(guard)
    seen.length = 0
    list(guard, [at(5)], 6)
    list(guard, [at(5)], 6)
    list(guard, [], 4)
    expect(seen).toEqual([
      ['5', undefined],
      [undefined, undefined],
    ])
  }
})
