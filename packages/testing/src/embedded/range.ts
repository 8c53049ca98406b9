import { refused } from './errors.ts'
import { type KeyRange, keyRange } from './key-range.ts'
import { NO_LEASE, type Reader, type Store } from './store.ts'
import type { Rules } from './version.ts'
import { counter, type KeyValue, type RangeRequest } from './wire.ts'

const NONE = 0
const DESCEND = 2

const KEY = 0
const VALUE = 4

const EMPTY = Buffer.alloc(0)

const order: readonly ((a: KeyValue, b: KeyValue) => number)[] = [
  (a, b) => Buffer.compare(a.key, b.key),
  (a, b) => a.version - b.version,
  (a, b) => a.create_revision - b.create_revision,
  (a, b) => a.mod_revision - b.mod_revision,
  (a, b) => Buffer.compare(a.value, b.value),
]

export interface RangeResult {
  kvs: KeyValue[]
  more: boolean
  count: number
}

/** Refuses an order or a target that is none. */
export function checkSortOptions({ sort_order = NONE, sort_target = KEY }: RangeRequest): void {
  const known = sort_order >= NONE && sort_order <= DESCEND && order[sort_target] !== undefined
  if (!known) throw refused('invalidSortOption')
}

/** Refuses a revision that cannot be read. Here one below zero means now, as zero does. */
export function checkRange(store: Store, request: RangeRequest): void {
  const revision = counter(request.revision)
  if (revision > 0) store.checkReadable(revision)
}

/** The same within a transaction, where etcd takes a revision below zero for what it is. */
export function checkRangeInTxn(store: Store, request: RangeRequest): void {
  const revision = counter(request.revision)
  if (revision !== 0) store.checkReadable(revision)
}

/** What a range request finds; `count` is of the whole range, whatever limits and filters leave of it. */
export function readRange(
  rules: Rules,
  reader: Reader,
  request: RangeRequest,
  range: KeyRange = keyRange(request),
): RangeResult {
  const revision = counter(request.revision)
  const found = reader.list(range, revision > 0 ? revision : undefined)
  const count = found.length
  if (request.count_only) return { kvs: [], more: false, count }
  const limit = counter(request.limit)
  const filters = filtersOf(request)
  const { sort_order = NONE, sort_target = KEY } = request
  const sorted = sort_order !== NONE
  let kvs = found
  // etcd reads on to the end of the range only where it knows that it has to
  if (limit > 0 && !sorted && filters.length === 0) kvs = kvs.slice(0, limit + 1)
  if (filters.length > 0) kvs = kvs.filter(kv => filters.every(keeps => keeps(kv)))
  if (sorted || sort_target !== KEY) {
    const compare = order[sort_target]
    if (compare !== undefined) {
      kvs = kvs.toSorted(sort_order === DESCEND ? (a, b) => compare(b, a) : compare)
    }
  }
  const more = limit > 0 && kvs.length > limit
  if (more) kvs = kvs.slice(0, limit)
  if (request.keys_only) {
    const lease = rules.keysOnlyLacksLeases && sort_target !== VALUE ? { lease: NO_LEASE } : {}
    kvs = kvs.map(kv => ({ ...kv, value: EMPTY, ...lease }))
  }
  return { kvs, more, count }
}

export const hasRevisionFilters = (request: RangeRequest): boolean => filtersOf(request).length > 0

function filtersOf(request: RangeRequest): ((kv: KeyValue) => boolean)[] {
  const filters: ((kv: KeyValue) => boolean)[] = []
  const minMod = counter(request.min_mod_revision)
  const maxMod = counter(request.max_mod_revision)
  const minCreate = counter(request.min_create_revision)
  const maxCreate = counter(request.max_create_revision)
  if (minMod !== 0) filters.push(kv => kv.mod_revision >= minMod)
  if (maxMod !== 0) filters.push(kv => kv.mod_revision <= maxMod)
  if (minCreate !== 0) filters.push(kv => kv.create_revision >= minCreate)
  if (maxCreate !== 0) filters.push(kv => kv.create_revision <= maxCreate)
  return filters
}
