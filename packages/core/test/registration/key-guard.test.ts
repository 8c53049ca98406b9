import { expect, it } from 'vitest'
import type { KeyEvent, KeyValue } from '../../src/etcd/wire/key-value.ts'
import { OwnedKeyWatch } from '../../src/registration/owned-key-watch.ts'

const at = (revision: number): KeyValue => ({
  key: 'ours',
  value: Buffer.from(String(revision)),
  revision,
  created: 5,
  lease: '1',
})
const put = (revision: number): KeyEvent => ({ type: 'put', ...at(revision) })
const del = (revision: number) => ({ type: 'delete', key: 'ours', revision }) as KeyEvent

/** Of a key that we put at revision 5; what it saw: the value, or that it is gone, and the revision of an event. */
function aGuard() {
  const seen: [string | undefined, number | 'listed'][] = []
  const guard = new OwnedKeyWatch(
    () => () => {},
    'ours',
    { revision: 5, present: true },
    {
      changed: (found, revision) => seen.push([found?.value.toString(), revision]),
      listed: found => seen.push([found?.value.toString(), 'listed']),
    },
  )
  return { guard, seen }
}

function list(guard: OwnedKeyWatch, entries: KeyValue[], revision: number): void {
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

it('each list shows how the key stands, whatever was seen of it before', () => {
  const { guard, seen } = aGuard()
  list(guard, [at(5)], 8)
  list(guard, [at(3)], 4)
  expect(guard.revisionOf('ours')).toBe(3)
  list(guard, [], 12)
  expect(guard.size).toBe(0)
  expect(seen).toEqual([
    ['5', 'listed'],
    ['3', 'listed'],
    [undefined, 'listed'],
  ])
})
