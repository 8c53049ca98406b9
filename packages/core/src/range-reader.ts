import { setImmediate as othersTurn } from 'node:timers/promises'
import type { EtcdRegisterError } from './errors.ts'
import type { Connection } from './etcd/connection.ts'
import { type KeyValue, prefixEnd } from './etcd/key-value.ts'
import type { RangePage } from './etcd/range-page.ts'
import type { KeyRange } from './formats/index.ts'

/** Pages aim at this size, in bytes, between these numbers of keys. */
const PAGE_BYTES = 8 * 1024 * 1024
const FIRST_PAGE = 4000
const LARGEST_PAGE = 20_000

/** After so many keys of a page the event loop has its turn: they take some milliseconds. */
const AT_A_TIME = 500

/** etcd has no empty key: where everything is read, it begins here. */
const FIRST_KEY = Buffer.from([0])

/** Reads a range of keys, in pages that fit what is in them. */
export class RangeReader {
  readonly start: Buffer
  /** `undefined`: it is one key. */
  readonly end: Buffer | undefined
  readonly #connection: Connection
  readonly #signal: AbortSignal | undefined
  #pageSize = FIRST_PAGE

  /** What is read after `signal` aborted is dropped. */
  constructor(connection: Connection, range: KeyRange, signal?: AbortSignal) {
    this.#connection = connection
    this.#signal = signal
    const first = Buffer.from('prefix' in range ? range.prefix : range.key)
    this.start = first.length > 0 ? first : FIRST_KEY
    this.end = 'prefix' in range ? prefixEnd(first) : undefined
  }

  /** Every key at a revision, 0 for now; resolves with the revision. Each page is on its way while the one before is read. */
  async each(revision: number, onEntry: (entry: KeyValue) => void, keysOnly = false): Promise<number> {
    let page = await this.#read(this.start, revision, keysOnly)
    const pinned = revision > 0 ? revision : page.revision
    for (;;) {
      const { next } = page
      if (next !== undefined) this.#fitPages(page)
      const following = next && this.#read(next, pinned, keysOnly)
      // Heard of below, when this page is done.
      following?.catch(() => {})
      for (let i = 0; i < page.length && !this.#signal?.aborted; i += 1) {
        if (i % AT_A_TIME === AT_A_TIME - 1) await othersTurn()
        onEntry(page.at(i))
      }
      if (following === undefined || this.#signal?.aborted) return pinned
      page = await following
    }
  }

  /** The first `limit` keys at a revision, and the number of all. */
  first(limit: number, revision: number): Promise<RangePage> {
    return this.#read(this.start, revision, false, Math.min(limit, this.#pageSize))
  }

  async #read(key: Buffer, revision: number, keysOnly: boolean, limit: number = this.#pageSize) {
    try {
      return await this.#connection.range({
        key,
        ...(this.end && { range_end: this.end }),
        limit,
        ...(revision > 0 && { revision: String(revision) }),
        keys_only: keysOnly,
      })
    } catch (error) {
      // Too much for one message, or for the time: the next try asks for less.
      const { code } = error as EtcdRegisterError
      if (code === 'ERR_ETCD_REQUEST' || code === 'ERR_ETCD_TIMEOUT') {
        this.#pageSize = Math.max(1, Math.floor(this.#pageSize / 4))
      }
      throw error
    }
  }

  #fitPages({ length, bytes }: RangePage): void {
    this.#pageSize = Math.min(LARGEST_PAGE, Math.max(1, Math.floor((PAGE_BYTES * length) / bytes)))
  }
}
