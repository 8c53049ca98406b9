import { expect, test } from 'vitest'
import { MergedInstances, type Origin } from '../../src/discovery/merged-instances.ts'
import { TableChange } from '../../src/discovery/table-change.ts'
import type { ServiceInstance } from '../../src/instance/instance.ts'
import { makeInstance } from '../../src/instance/instance.ts'

const at = (key: string, id: string, version = '') =>
  makeInstance({ id, name: 'web', host: '10.0.0.5', port: 80, protocol: 'http', version }, key)

function changeOf(before: ServiceInstance | undefined, after: ServiceInstance | undefined): TableChange {
  const change = new TableChange()
  change.note(before, after)
  return change
}

/** Comparisons that 100 events take where so many keys of one address are there: puts, updates and deletes. */
function comparisons(keys: number, idOf: (i: number) => string): number {
  let looks = 0
  const created = new Map<string, number>()
  const origin: Origin = {
    get rank() {
      looks += 1
      return 0
    },
    createdAt: key => created.get(key)!,
  }
  const merged = new MergedInstances()
  const all = new TableChange()
  const held = Array.from({ length: keys }, (_, i) => {
    created.set(`k${i}`, i)
    return at(`k${i}`, idOf(i))
  })
  for (const instance of held) all.note(undefined, instance)
  merged.apply(all, origin)
  looks = 0
  for (let i = 0; i < 100; i += 1) {
    const spot = Math.floor((i * keys) / 100)
    const [old, key] = [held[spot]!, `new${i}`]
    created.set(key, keys + i)
    const fresh = at(key, idOf(keys + i))
    const changed = at(old.key, old.id, 'v2')
    merged.apply(changeOf(undefined, fresh), origin)
    expect(merged.instances()).toEqual([fresh])
    merged.apply(changeOf(old, changed), origin)
    merged.apply(changeOf(fresh, undefined), origin)
    merged.apply(changeOf(changed, undefined), origin)
  }
  return looks
}

test.each([
  ['with one id', () => '10.0.0.5:80'],
  ['each with an id of its own', (i: number) => `id${i}`],
])('an event costs no more where an address has twice as many keys, %s', (_, idOf) => {
  const [some, more, most] = [1000, 2000, 16_000].map(keys => comparisons(keys, idOf))
  expect(more! / some!).toBeLessThan(1.2)
  expect(most! / some!).toBeLessThan(1.7)
})

test('a key that is deleted and put again as it was counts as new', () => {
  const created = new Map([
    ['a', 1],
    ['b', 2],
  ])
  const origin: Origin = { rank: 0, createdAt: key => created.get(key)! }
  const merged = new MergedInstances()
  const [a, b] = [at('a', 'a'), at('b', 'b')]
  for (const instance of [a, b]) merged.apply(changeOf(undefined, instance), origin)
  expect(merged.instances()).toEqual([b])
  created.set('a', 3)
  const renewed = new TableChange()
  renewed.renewed.push(a)
  const change = merged.apply(renewed, origin)
  expect(change).toMatchObject({ added: [], removed: [], updated: [a], previous: [b] })
  expect(merged.instances()).toEqual([a])
})
