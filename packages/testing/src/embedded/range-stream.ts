import { EtcdError } from './errors.ts'
import { type KeyRange, keyRange, keyText } from './key-range.ts'
import { checkRange, hasRevisionFilters, readRange } from './range.ts'
import type { Store } from './store.ts'
import type { Rules } from './version.ts'
import { counter, type KeyValue, type RangeRequest } from './wire.ts'

/** Keys of the first chunk. */
const FIRST = 10

/** Bytes that a chunk should have: below half of it the next one has twice the keys, above twice of it half of them. */
const TARGET = 1.5 * 1024 * 1024

/** About what the numbers and tags of one key take. */
const OVERHEAD = 20

const UNIMPLEMENTED = 12

/** What all but the last have is keys alone. */
export interface RangeChunk {
  readonly header?: { readonly revision: number }
  readonly kvs?: KeyValue[]
  readonly more?: boolean
  readonly count?: number
}

/** Refuses what can be read only as a whole. */
export function checkRangeStream(request: RangeRequest): void {
  const { sort_order = 0, sort_target = 0 } = request
  const refuse = (what: string) => {
    throw new EtcdError(UNIMPLEMENTED, `RangeStream does not support ${what}`)
  }
  if (sort_order !== 0 && !(sort_target === 0 && sort_order === 1)) refuse('custom sort orders')
  if (hasRevisionFilters(request)) refuse('revision filters')
}

/** A compaction meanwhile can end it. */
export function* rangeChunks(rules: Rules, store: Store, request: RangeRequest): Generator<RangeChunk> {
  checkRange(store, request)
  const header = { revision: store.revision }
  const asked = counter(request.revision)
  const pinned = { ...request, revision: String(asked === 0 ? header.revision : asked) }
  const { end } = keyRange(request)
  if (request.count_only) return yield { header, count: readRange(rules, store, pinned).count }
  const limit = counter(request.limit)
  let left = limit === 0 ? Number.POSITIVE_INFINITY : limit
  let size = Math.min(FIRST, left)
  let rest: KeyRange = keyRange(request)
  let count = 0
  for (;;) {
    checkRange(store, pinned)
    const found = readRange(rules, store, { ...pinned, limit: String(size) }, rest)
    const { kvs, more } = found
    count += kvs.length
    left -= kvs.length
    const done = !more || left === 0
    yield done ? { header, kvs, more, count: count + found.count - kvs.length } : { kvs }
    if (done) return
    rest = { start: `${keyText(kvs.at(-1)!.key)}\0`, end }
    size = Math.max(1, Math.min(adjusted(size, kvs), left))
  }
}

function adjusted(size: number, kvs: readonly KeyValue[]): number {
  const bytes = kvs.reduce((sum, { key, value }) => sum + OVERHEAD + key.length + value.length, 0)
  if (bytes < TARGET / 2) return size * 2
  return bytes > TARGET * 2 ? Math.floor(size / 2) : size
}
