import { grpcFormat } from '@etcd-register/core'
import { describe, expect, test } from 'vitest'
import { FORMATS, MAX_VALUE_BYTES, resolveFormats } from '../../src/formats/index.ts'
import { instancesIn, readEntry } from '../../src/formats/read-entry.ts'
import { workOf } from '../support/counted-work.ts'
import { MEMBERS, mutationOf, placesIn, VALUES, withMembersAt, withValueAt } from '../support/mutations.ts'
import { seededChance } from '../support/seeded-chance.ts'
import { bytes, expectSafe, full } from './instances.ts'

/** Steps for each byte of a value: each member is read some times, none for each other one. */
const STEPS = 8

const up = Object.freeze({ ...full, status: 'up' as const })

const placed = [...Object.values(FORMATS), grpcFormat({ metadata: true })]
  .filter(({ capabilities }) => capabilities.read)
  .flatMap(format => resolveFormats(format, { default: '/services' }))
  .map(one => {
    const [entry] = one.format.encode(up, { namespace: one.namespace, leaseId: '7' })
    const metadata =
      one.format.name === 'grpc' && !one.format.capabilities.metadata ? ' without metadata' : ''
    return { ...one, of: `${one.format.name}${metadata}`, entry: entry! }
  })

describe.each(placed)('$of', one => {
  const { entry } = one
  const good: unknown = entry.value.startsWith('{') ? JSON.parse(entry.value) : entry.value
  const isText = typeof good === 'string'

  /** Steps to read a value, which is read or skipped. */
  function workFor(json: string): number {
    const value = bytes(isText ? String(JSON.parse(json)) : json)
    let work = 0
    const read = () => readEntry(one, up.name, { key: entry.key, value })
    work = workOf(() => void read())
    const { found, skip } = read()
    for (const instance of instancesIn(found)) expectSafe(instance)
    if (found === undefined) expect(skip).toMatch(/^.{3,120}$/)
    return work
  }

  test('any large value costs what its size is, and twice the size twice as much', () => {
    const texts = Object.entries(VALUES).filter(([, value]) => !isText || value(1).startsWith('"'))
    const shapes = placesIn(good).flatMap(path => [
      ...texts.map(([kind, value]) => ({ kind, path, at: (n: number) => withValueAt(good, path, value(n)) })),
      ...Object.entries(MEMBERS).map(([kind, members]) => ({
        kind,
        path,
        at: (n: number) => withMembersAt(good, path, members(n), true),
      })),
    ])
    for (const { kind, path, at } of shapes) {
      const [half, whole] = [at(150), at(300)]
      if (half === undefined || whole === undefined || whole.length > MAX_VALUE_BYTES) continue
      const [work, twice] = [workFor(half), workFor(whole)]
      const of = `${kind} at /${path.join('/')}: ${work}, ${twice} steps`
      expect(twice, of).toBeLessThan(2.5 * work + 100)
      expect(twice, of).toBeLessThan(STEPS * whole.length)
    }
  })

  if (!isText) {
    test.each([1, 2, 3, 4])(
      'seed %i: mutations of a good value are read or skipped, at the cost of their size',
      seed => {
        const chance = seededChance(seed)
        for (let i = 0; i < 40; i += 1) {
          const first = mutationOf(good, chance)
          const size = 1 + chance.upTo(chance.oneOf([3, 300, 3000]))
          const json = first.at(size)
          // A second one in what the first one made.
          const parsed: unknown = JSON.parse(json)
          const second = json.length < 2000 ? mutationOf(parsed, chance) : { kind: 'none', at: () => json }
          const text = second.at(size)
          const work = workFor(text)
          expect(work, `${first.kind}, ${second.kind}, ${size}`).toBeLessThan(STEPS * text.length + 200)
        }
      },
    )
  }
})
