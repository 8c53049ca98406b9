import type { ServiceInstance } from '@etcd-register/core'
import fc from 'fast-check'
import { expect, test } from 'vitest'
import type { KeyEvent, KeyValue } from '../../src/etcd/key-value.ts'
import { resolveFormats } from '../../src/formats/index.ts'
import { InstanceTable } from '../../src/instance-table.ts'
import { MovedClock } from '../support/moved-clock.ts'
import { keepLog } from '../support/read-side.ts'

const formats = resolveFormats(['go-zero', 'grpc'], { default: '' })
const textFor = (range: number, host: number) =>
  range === 0 ? `10.0.0.${host}:80` : `{"Op":0,"Addr":"10.0.0.${host}:80","Metadata":null}`

/** A key of one of the two ranges gets an address, one that is none, or is deleted; or a range is listed anew. */
const step = fc.record({
  range: fc.constantFrom(0, 1),
  list: fc.boolean(),
  writes: fc.array(
    fc.record({ key: fc.nat(4), host: fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined }) }),
    { maxLength: 4 },
  ),
})

test('whatever happens to the keys of two formats, each address is one instance, and the changes tell all of it', () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 25 }), steps => {
      const table = new InstanceTable({ name: 'a', formats, clock: new MovedClock(), logger: keepLog() })
      const replayed = new Map<string, ServiceInstance>()
      const addressOf = ({ host }: ServiceInstance) => host
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
        listed() {},
        failed() {},
      })
      /** Of each range the address of every key, `0` for a value that is none. */
      const model = [
        new Map<string, { host: number; revision: number }>(),
        new Map<string, { host: number; revision: number }>(),
      ]
      let revision = 0
      for (const { range, list, writes } of steps) {
        const { rows } = table.ranges[range]!
        const events = writes.map(({ key, host }): KeyEvent => {
          revision += 1
          if (host === undefined) return { type: 'delete', key: `a/${key}`, revision }
          const value = Buffer.from(host === 0 ? 'no address' : textFor(range, host))
          return { type: 'put', key: `a/${key}`, value, revision, lease: '0' }
        })
        for (const [i, { key, revision }] of events.entries()) {
          const { host } = writes[i]!
          if (host === undefined) model[range]!.delete(key)
          else model[range]!.set(key, { host, revision })
        }
        const entries = [...model[range]!].map(
          ([key, { host, revision }]): KeyValue => ({
            ...{ key, revision, lease: '0' },
            value: Buffer.from(host === 0 ? 'no address' : textFor(range, host)),
          }),
        )
        if (list) {
          const listing = rows.list()
          for (const entry of entries) listing.add(entry)
          listing.done(revision)
        } else if (events.length > 0) rows.apply(events)
        const found = model.flatMap((keys, rank) => [...keys].map(([key, at]) => ({ key, rank, ...at })))
        const hosts = new Set(found.map(({ host }) => host).filter(host => host > 0))
        expect(new Set(table.instances.map(addressOf))).toEqual(
          new Set([...hosts].map(host => `10.0.0.${host}`)),
        )
        expect(table.instances).toHaveLength(hosts.size)
        const counts = model.map(keys => [...keys.values()].filter(({ host }) => host > 0).length)
        expect(table.ranges.map(({ rows }) => rows.status().instances)).toEqual(counts)
        expect(new Set(replayed.values())).toEqual(new Set(table.instances))
        for (const { host, key } of table.instances) {
          const [first] = found
            .filter(at => `10.0.0.${at.host}` === host)
            .sort((a, b) => a.rank - b.rank || b.revision - a.revision)
          expect(key, host).toBe(first!.key)
        }
      }
    }),
    { numRuns: 500 },
  )
})
