import type { ServiceInstance } from '@etcd-register/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import { InstanceTable } from '../../src/discovery/instance-table.ts'
import type { KeyEvent, KeyValue } from '../../src/etcd/wire/key-value.ts'
import { resolveFormats } from '../../src/formats/index.ts'
import { MovedClock } from '../support/moved-clock.ts'
import { valueFor } from '../support/raw-writer.ts'
import { keepLog } from '../support/read-side.ts'

const formats = resolveFormats(['json', 'kratos', 'go-zero'], { default: '/services' })
const ROOTS = ['/services/a/', '/microservices/a/', 'a/']

/** What stands under a key. */
interface Held {
  key: string
  rank: number
  id: string
  host: string
  /** The same everywhere: only `json` says a status, and `kratos` no weight of 0. */
  callable: boolean
  value: string
  created: number
  revision: number
}

/**
 * Some keys of one of three formats get a value, good or bad, or are deleted; or the range is listed anew, perhaps from a
 * store where all keys were put again.
 */
const step = fc.record({
  rank: fc.constantFrom(0, 1, 2),
  list: fc.boolean(),
  restored: fc.boolean(),
  writes: fc.array(
    fc.record({
      id: fc.constantFrom('p', 'q', 'r'),
      host: fc.constantFrom('10.0.0.1', '10.0.0.2', 'A.example', 'a.EXAMPLE'),
      value: fc.constantFrom('up', 'suspended', 'weightless', 'bad', 'gone'),
    }),
    { maxLength: 3 },
  ),
})

function held(
  rank: number,
  { id, host, value }: { id: string; host: string; value: string },
  revision: number,
): Held {
  const text = (): string => {
    if (value === 'bad') return 'no address'
    if (rank === 2) return `${host}:80`
    const status = value === 'suspended' ? { status: 'suspended' } : {}
    const weight = value === 'weightless' ? { weight: 0, metadata: { weight: '0' } } : {}
    return valueFor('a', id, { endpoints: [`http://${host}:80`], ...status, ...weight })
  }
  const callable = rank === 2 || value === 'up' || (rank === 1 && value === 'suspended')
  const owner = rank === 2 ? `${host}:80` : id
  return {
    key: `${ROOTS[rank]}${id}`,
    rank,
    id: owner,
    host,
    callable,
    value: text(),
    created: revision,
    revision,
  }
}

/** The one that stands for an address: by the words of docs/interop.md, and not as it is done. */
function standsFor(found: readonly Held[]): Held {
  const sorted = [...found].sort(
    (a, b) => a.rank - b.rank || b.created - a.created || (a.key < b.key ? -1 : 1),
  )
  const spoken = sorted.filter(({ id }, i) => sorted.findIndex(other => other.id === id) === i)
  return spoken.find(({ callable }) => callable) ?? spoken[0]!
}

test('whatever happens to the keys of three formats, each address is one instance, and the changes tell all of it', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), steps => {
      const table = new InstanceTable({ name: 'a', formats, clock: new MovedClock(), logger: keepLog() })
      const replayed = new Map<string, ServiceInstance>()
      const addressOf = ({ host }: { host: string }) => host.toLowerCase()
      table.subscribe({
        changed({ added, removed, updated, previous }) {
          for (const instance of removed) {
            expect(replayed.get(addressOf(instance))).toBe(instance)
            replayed.delete(addressOf(instance))
          }
          for (const [i, instance] of updated.entries()) {
            expect(replayed.get(addressOf(instance))).toBe(previous[i])
            replayed.set(addressOf(instance), instance)
          }
          for (const instance of added) {
            expect(replayed.has(addressOf(instance))).toBe(false)
            replayed.set(addressOf(instance), instance)
          }
        },
        stale() {},
        fresh() {},
        failed() {},
      })
      const model = new Map<string, Held>()
      let revision = 0
      for (const { rank, list, restored, writes } of steps) {
        const { rows } = table.ranges[rank]!
        // Several keys of one transaction have one revision.
        revision += 1
        const events = writes.map((write): KeyEvent => {
          const now = held(rank, write, revision)
          if (write.value === 'gone') {
            model.delete(now.key)
            return { type: 'delete', key: now.key, revision }
          }
          const before = model.get(now.key)
          model.set(now.key, { ...now, created: before?.created ?? revision })
          return { type: 'put', ...keyValue(model.get(now.key)!) }
        })
        for (const at of model.values()) if (list && restored && at.rank === rank) at.created = revision
        const standing = [...model.values()]
        if (list) {
          const listing = rows.list()
          for (const entry of standing.filter(at => at.rank === rank)) listing.add(keyValue(entry))
          listing.done(revision)
        } else if (events.length > 0) rows.apply(events)

        const good = standing.filter(({ value }) => value !== 'no address')
        const counts = ROOTS.map((_, i) => good.filter(at => at.rank === i).length)
        expect(table.ranges.map(({ rows }) => rows.status().instances)).toEqual(counts)
        expect(new Set(replayed.values())).toEqual(new Set(table.instances))
        const expected = [...new Set(good.map(addressOf))].map(address =>
          standsFor(good.filter(at => addressOf(at) === address)),
        )
        expect(table.instances.map(({ key }) => key).sort()).toEqual(expected.map(({ key }) => key).sort())
      }
    }),
    { numRuns: 500 },
  )
})

function keyValue({ key, value, created, revision }: Held): KeyValue {
  return { key, value: Buffer.from(value), created, revision, lease: '0' }
}
