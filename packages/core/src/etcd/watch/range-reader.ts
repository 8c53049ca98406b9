import { setImmediate as othersTurn } from 'node:timers/promises'
import type { Connection } from '../client/connection.ts'
import { type ErrorCode, EtcdRegisterError } from '../support/errors.ts'
import { byteByByte, type KeyEvent, type KeyValue, prefixEnd } from '../wire/key-value.ts'
import type { RangePage } from '../wire/range-page.ts'
import type { KeyRange } from './key-range.ts'

/** Keys in a page, at most, before the size of the keys is known and after. */
const FIRST_PAGE = 4000
const LARGEST_PAGE = 20_000

/** After so many keys of a page, or so many bytes, the event loop has its turn: they take some milliseconds. */
const AT_A_TIME = 500
const BYTES_AT_A_TIME = 524_288

/** How long the beginning of a range is read, in ms. */
const FIRST_TIME = 1000

/** A list that goes on after so many keys has no end: they take some 500 MB. */
export const MOST_KEYS = 1_000_000

/** How often what changed since a list is read, where etcd compacts its history each time. */
const MOST_ROUNDS = 10

/** How often a page is requested in a row before the whole read fails. */
const TRIES = 5

/** A page that failed so is requested again, smaller. */
const PAGE_AGAIN: ReadonlySet<ErrorCode> = new Set([
  'ERR_ETCD_TIMEOUT',
  'ERR_ETCD_UNAVAILABLE',
  'ERR_ETCD_REQUEST',
])

/** etcd has no empty key: where everything is read, it begins here. */
const FIRST_KEY = Buffer.from([0])

/** Of etcd's enums SortTarget and SortOrder, which etcd3 has as types only. */
const BY_REVISION = 3
const DESCENDING = 2

/** A range at one moment. */
export interface RangeMark {
  /** etcd's revision. */
  readonly revision: number
  /** Number of keys. */
  readonly count: number
  /** The highest revision of a key, 0 without keys. */
  readonly newest: number
  /** The member that answered. */
  readonly member: string
}

interface ReadOptions {
  /** 0 for now. */
  revision: number
  keysOnly?: boolean | undefined
  /** Only keys that were put at this revision or later. */
  since?: number | undefined
  /** Keys to read at most. */
  most?: number
}

/** Reads a range of keys, in pages that the link carries in about half a second. */
export class RangeReader {
  readonly start: Buffer
  /** `undefined`: it is one key. */
  readonly end: Buffer | undefined
  readonly #connection: Connection
  readonly #signal: AbortSignal | undefined
  /** The beginning of all keys of the range as text, and of those that are no UTF-8; the key itself where it is one. */
  readonly #prefixes: readonly [string, string]
  readonly #values = new PageSize(400)
  readonly #keys = new PageSize(100)

  /** What is read after `signal` aborted is dropped. Without a signal, the first page that fails ends the read. */
  constructor(connection: Connection, range: KeyRange, signal?: AbortSignal) {
    this.#connection = connection
    this.#signal = signal
    const first = Buffer.from('prefix' in range ? range.prefix : range.key)
    this.#prefixes = [first.toString(), byteByByte(first)]
    this.start = first.length > 0 ? first : FIRST_KEY
    this.end = 'prefix' in range ? prefixEnd(first) : undefined
  }

  /** How long so many keys and their values take, in ms, by what was read so far. */
  timeFor(keys: number): number {
    return (keys * this.#values.bytes) / this.#connection.pace.bytesPerMs
  }

  /**
   * Every key at a revision, 0 for now; resolves with the revision. Each page is on its way while the one before is read.
   * Where etcd compacts the revision of now meanwhile, the rest is read as of later: up to `oldest` all is complete.
   */
  async each(
    revision: number,
    onEntry: (entry: KeyValue) => void,
    { keysOnly, since }: Pick<ReadOptions, 'keysOnly' | 'since'> = {},
  ): Promise<{ oldest: number; revision: number }> {
    let page = await this.#read(this.start, { revision, keysOnly, since })
    const oldest = revision > 0 ? revision : page.revision
    let pinned = oldest
    let read = 0
    for (;;) {
      const { next } = page
      read += page.length
      if (read > MOST_KEYS) throw this.#distrust(page, `a range of more than ${MOST_KEYS} keys`)
      const following = next && this.#insist(next, { revision: pinned, keysOnly, since })
      // A failure is handled below, when this page is done.
      following?.catch(() => {})
      const atATime = keysAtATime(page)
      for (let i = 0; i < page.length && !this.#signal?.aborted; i += 1) {
        if (i % atATime === atATime - 1) await othersTurn()
        onEntry(this.#at(page, i, pinned))
      }
      if (following === undefined || this.#signal?.aborted) return { oldest, revision: pinned }
      const left = page.count - page.length
      try {
        page = await following
        if (since === undefined && page.count !== left)
          throw this.#distrust(page, `a page of ${page.count} keys where ${left} are left`)
      } catch (error) {
        if (revision > 0 || !isCompacted(error)) throw error
        page = await this.#insist(next!, { revision: 0, keysOnly, since })
        pinned = page.revision
      }
    }
  }

  /**
   * What became of a range since it was read at `revision`, where `seen` are its keys; resolves with the revision of now.
   * Rejects with `ERR_ETCD_COMPACTED` where the history is compacted faster than it can be read.
   */
  async changesSince(
    revision: number,
    seen: Iterable<string>,
  ): Promise<{ events: KeyEvent[]; revision: number }> {
    const keys = new Set(seen)
    const puts = new Map<string, KeyEvent>()
    const onEntry = ({ key, value, revision, created, lease }: KeyValue) => {
      keys.add(key)
      // At its end, since the events are in order.
      puts.delete(key)
      puts.set(key, { type: 'put', key, value: Buffer.from(value), revision, created, lease })
    }
    let from = revision
    for (let round = 1; round <= MOST_ROUNDS; round += 1) {
      const read = await this.each(0, onEntry, { since: from + 1 })
      from = read.oldest
      if (read.oldest < read.revision) continue
      try {
        const gone = await this.#goneOf(keys, read.revision)
        const deletes = [...gone].map(key => ({ type: 'delete', key, revision: read.revision }) as const)
        return { events: [...puts.values(), ...deletes], revision: read.revision }
      } catch (error) {
        if (!isCompacted(error)) throw error
      }
    }
    throw new EtcdRegisterError('ERR_ETCD_COMPACTED', 'etcd compacts its history faster than it can be read.')
  }

  /** Those of some keys that are not there at a revision, where all that are there are among them. */
  async #goneOf(keys: ReadonlySet<string>, revision: number): Promise<Set<string>> {
    const { count } = await this.#connection.range({
      ...this.#all,
      revision: String(revision),
      count_only: true,
    })
    const gone = new Set(count === keys.size ? [] : keys)
    if (gone.size > 0) await this.each(revision, ({ key }) => void gone.delete(key), { keysOnly: true })
    return gone
  }

  /** A page after the first one. The pages before it are not read again because it fails. */
  async #insist(key: Buffer, how: ReadOptions): Promise<RangePage> {
    for (let tries = 1; ; tries += 1) {
      try {
        return await this.#read(key, how)
      } catch (error) {
        const { code } = error as EtcdRegisterError
        if (this.#signal === undefined || tries === TRIES || !PAGE_AGAIN.has(code)) throw error
        await this.#connection.waitForReady(this.#signal)
        if (this.#signal.aborted) throw error
      }
    }
  }

  /** The first `limit` keys at a revision, as many of them as come within a second, and the number of all. */
  async first(limit: number, revision: number): Promise<{ entries: KeyValue[]; count: number }> {
    const end = performance.now() + FIRST_TIME
    const entries: KeyValue[] = []
    let next: Buffer | undefined = this.start
    let count = 0
    while (next !== undefined && entries.length < limit && performance.now() < end) {
      const page: RangePage = await this.#read(next, {
        revision,
        most: limit - entries.length,
      })
      if (entries.length === 0) count = page.count
      for (let i = 0; i < page.length; i += 1) entries.push(this.#at(page, i, revision))
      next = page.next
    }
    return { entries, count }
  }

  /** Whether a key is in the range. */
  includes(key: string): boolean {
    const [text, bytes] = this.#prefixes
    return this.end === undefined ? key === text : key.startsWith(text) || key.startsWith(bytes)
  }

  #at(page: RangePage, index: number, pinned: number): KeyValue {
    const entry = this.#row(page, index)
    if (!this.includes(entry.key)) throw this.#distrust(page, 'a row of another range')
    if (entry.revision > pinned)
      throw this.#distrust(page, `a row of revision ${entry.revision} at revision ${pinned}`)
    return entry
  }

  #row(page: RangePage, index: number): KeyValue {
    try {
      return page.at(index)
    } catch (error) {
      throw this.#distrust(page, (error as Error).message)
    }
  }

  #distrust({ member }: RangePage, why: string): EtcdRegisterError {
    return this.#connection.distrust('a read', why, member)
  }

  /** Where the range stands now. etcd sorts it for that and sends one key. */
  async mark(): Promise<RangeMark> {
    const page = await this.#connection.range({
      ...this.#all,
      limit: 1,
      keys_only: true,
      sort_target: BY_REVISION,
      sort_order: DESCENDING,
    })
    const { revision, count, member } = page
    const newest = page.length > 0 ? this.#at(page, 0, revision).revision : 0
    return { revision, count, newest, member }
  }

  get #all(): { key: Buffer; range_end?: Buffer } {
    return { key: this.start, ...(this.end && { range_end: this.end }) }
  }

  async #read(
    key: Buffer,
    { revision, keysOnly = false, since, most = LARGEST_PAGE }: ReadOptions,
  ): Promise<RangePage> {
    const { pace } = this.#connection
    const size = keysOnly ? this.#keys : this.#values
    try {
      const page = await this.#connection.range({
        key,
        ...(this.end && { range_end: this.end }),
        limit: Math.min(most, size.keysIn(pace.bytes)),
        ...(revision > 0 && { revision: String(revision) }),
        ...(since !== undefined && { min_mod_revision: String(since) }),
        keys_only: keysOnly,
      })
      pace.answered(page.bytes, page.times)
      size.seen(page)
      return page
    } catch (error) {
      // Too much for one message, or for the time: the next try asks for less.
      const { code } = error as EtcdRegisterError
      if (code === 'ERR_ETCD_REQUEST' || code === 'ERR_ETCD_TIMEOUT') size.tooLarge()
      throw error
    }
  }
}

function isCompacted(error: unknown): boolean {
  return (error as EtcdRegisterError).code === 'ERR_ETCD_COMPACTED'
}

function keysAtATime({ bytes, length }: RangePage): number {
  return Math.max(1, Math.min(AT_A_TIME, Math.floor((BYTES_AT_A_TIME * length) / bytes)))
}

/** How many keys a page may have, by the size of those that were read. */
class PageSize {
  /** Bytes of a key, an estimate until the first page. */
  bytes: number
  #most = FIRST_PAGE

  constructor(estimate: number) {
    this.bytes = estimate
  }

  keysIn(bytes: number): number {
    return Math.max(1, Math.min(this.#most, Math.floor(bytes / this.bytes)))
  }

  seen({ bytes, length }: RangePage): void {
    if (length === 0) return
    this.bytes = bytes / length
    this.#most = LARGEST_PAGE
  }

  tooLarge(): void {
    this.bytes *= 4
  }
}
