import { expect, it } from 'vitest'
import type { KeyEvent, KeyValue } from '../../src/etcd/wire/key-value.ts'
import { OwnedKey } from '../../src/registration/owned-key.ts'

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
function aWatchedKey() {
  const seen: [string | undefined, number | 'listed'][] = []
  const key = new OwnedKey('ours')
  key.watch(
    () => () => {},
    { revision: 5, present: true },
    {
      changed: (found, revision) => seen.push([found?.value.toString(), revision]),
      listed: found => seen.push([found?.value.toString(), 'listed']),
      failed() {},
      watched() {},
    },
  )
  return { key, seen }
}

function list(key: OwnedKey, entries: KeyValue[], revision: number): void {
  const listing = key.list()
  for (const entry of entries) listing.add(entry)
  listing.done(revision)
}

it('of several changes of a key at once the last one is seen', () => {
  const { key, seen } = aWatchedKey()
  key.apply([del(6), put(7)])
  key.apply([put(8), del(9)])
  expect(seen).toEqual([
    ['7', 7],
    [undefined, 9],
  ])
})

it('each list shows how the key stands, whatever was seen of it before', () => {
  const { key, seen } = aWatchedKey()
  list(key, [at(5)], 8)
  list(key, [at(3)], 4)
  expect(key.revisionOf('ours')).toBe(3)
  list(key, [], 12)
  expect(key.size).toBe(0)
  expect(seen).toEqual([
    ['5', 'listed'],
    ['3', 'listed'],
    [undefined, 'listed'],
  ])
})
