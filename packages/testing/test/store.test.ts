import { describe, expect, test } from 'vitest'
import { createClock } from '../src/embedded/clock.ts'
import { LAST } from '../src/embedded/key-range.ts'
import { NO_LEASE, Store, type Writer } from '../src/embedded/store.ts'
import { rulesOf } from '../src/embedded/version.ts'
import { WatchHub } from '../src/embedded/watch-hub.ts'

const key = (text: string) => Buffer.from(text)
const put = (writer: Writer, name: string, value: string) => writer.put(key(name), key(value), NO_LEASE)
const everything = { start: '', end: LAST }

/** A write of several steps, on a store that has the keys a, b and c. */
const steps: [string, (writer: Writer) => unknown][] = [
  ['a put of a new key', writer => put(writer, 'd', '1')],
  ['a put of a key that was there', writer => put(writer, 'a', '2')],
  ['a read', writer => writer.list(everything)],
  ['a delete of some', writer => writer.delete({ start: 'b', end: 'c' })],
  ['a put of a key that it deleted', writer => put(writer, 'b', '2')],
  ['a delete of all', writer => writer.delete(everything)],
  ['another put of what it deleted', writer => put(writer, 'd', '3')],
]

function filled(beforeCommit: () => void) {
  const store = new Store(
    rulesOf('3.6'),
    () => beforeCommit(),
    () => {},
  )
  store.write(writer => ['a', 'b'].map(name => put(writer, name, '0')))
  store.write(writer => ['b', 'c'].map(name => put(writer, name, '1')))
  return store
}

const contents = (store: Store) => ({
  revision: store.revision,
  now: store.list(everything),
  before: store.list(everything, 2),
  changes: [2, 3, 4, 5].map(revision => store.changesAt(revision)),
})

describe('a write that throws leaves no trace', () => {
  test.each(steps.map(([name], index) => [name, index] as const))('after %s', (_, index) => {
    const store = filled(() => {})
    const before = contents(store)
    const write = () =>
      store.write(writer => {
        for (const [, step] of steps.slice(0, index + 1)) step(writer)
        throw new Error('thrown')
      })
    expect(write).toThrow('thrown')
    expect(contents(store)).toEqual(before)
    store.write(writer => put(writer, 'e', '4'))
    expect(store.changesAt(store.revision)).toHaveLength(1)
    expect(store.list(everything).map(kv => String(kv.key))).toEqual(['a', 'b', 'c', 'e'])
  })

  test('right before the commit', () => {
    let fails = false
    const store = filled(() => {
      if (fails) throw new Error('thrown')
    })
    const before = contents(store)
    fails = true
    const write = () =>
      store.write(writer => {
        for (const [, step] of steps) step(writer)
      })
    expect(write).toThrow('thrown')
    expect(contents(store)).toEqual(before)
  })
})

test('a watch whose reader throws ends alone: the write is done, and others are told', () => {
  const hub: { publish(): void }[] = []
  const store = new Store(
    rulesOf('3.6'),
    () => {},
    () => hub[0]!.publish(),
  )
  const watches = new WatchHub(createClock(), store)
  hub.push(watches)
  const seen: string[] = []
  const options = { range: everything, from: 2, filters: [], prevKv: false }
  const open = (name: string, events: () => void) =>
    watches.open(options, {
      isFull: () => false,
      events() {
        events()
        seen.push(name)
      },
      compacted() {},
      failed: error => seen.push(`${name}: ${(error as Error).message}`),
    })
  open('broken', () => {
    throw new Error('thrown')
  })
  open('sound', () => {})
  for (const value of ['1', '2']) store.write(writer => put(writer, 'a', value))
  expect(seen).toEqual(['broken: thrown', 'sound', 'sound'])
  expect(store.revision).toBe(3)
})
