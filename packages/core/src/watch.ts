import { setImmediate as othersTurn } from 'node:timers/promises'
import { backoff } from './backoff.ts'
import { type Clock, sleep } from './clock.ts'
import type { ErrorCode, EtcdRegisterError } from './errors.ts'
import type { Connection } from './etcd/connection.ts'
import { type KeyEvent, type KeyValue, prefixEnd, type WatchedKeys } from './etcd/key-value.ts'
import type { RangePage } from './etcd/range-page.ts'
import type { WatchStream } from './etcd/watch-stream.ts'
import type { KeyRange } from './formats/index.ts'

/** Pages aim at this size, in bytes, between these numbers of keys. */
const PAGE_BYTES = 8 * 1024 * 1024
const FIRST_PAGE = 4000
const LARGEST_PAGE = 20_000

/** After so many keys of a page the event loop has its turn: they take some milliseconds. */
const AT_A_TIME = 500

/** Before a watch goes on so many keys are read again, and all of them are counted. */
const EXACT_CHECK = 1000

/** A watch that lived shorter, in ms, is opened again with backoff: its streams die as soon as they are made. */
const SETTLED = 5000

/** A reconcile comes between 5 and 10 minutes after the last one. */
const RECONCILE = 300_000

/** It comes as soon, in ms, where the member seems to be behind us: perhaps its store was wiped. */
const RECONCILE_SOON = 1000

/** What is heard of a watch within this time, in ms, is its beginning. */
const AT_ONCE = 500

export interface WatchCounts {
  relists: number
  reconnects: number
  repairs: number
}

/** The events that are due are gone, or too much for one message. */
const LIST_AGAIN: ReadonlySet<ErrorCode> = new Set(['ERR_ETCD_COMPACTED', 'ERR_ETCD_REQUEST'])

type Comparison = 'same' | 'gone' | { different: number }

/**
 * Keeps `keys` equal to a range in etcd, without a gap: lists at a revision, watches from the next one on, goes on from
 * what was delivered when the stream breaks, and lists again when that history is compacted, rewound or not the same.
 */
export class RangeWatch {
  readonly #connection: Connection
  readonly #stream: WatchStream
  readonly #clock: Clock
  readonly #keys: WatchedKeys
  readonly #start: Buffer
  readonly #end: Buffer | undefined
  readonly #closing = new AbortController()
  readonly counts: WatchCounts = { relists: 0, reconnects: 0, repairs: 0 }
  /** The revision to watch from; 0: list first. */
  #next: number
  #pageSize = FIRST_PAGE
  /** Keys that changed while a reconcile reads. */
  #touched: Set<string> | undefined

  /** `from`: `keys` is complete up to the revision before it. */
  constructor(
    { connection, stream, clock }: { connection: Connection; stream: WatchStream; clock: Clock },
    range: KeyRange,
    keys: WatchedKeys,
    from = 0,
  ) {
    this.#connection = connection
    this.#stream = stream
    this.#clock = clock
    this.#keys = keys
    this.#next = from
    this.#start = Buffer.from('prefix' in range ? range.prefix : range.key)
    this.#end = 'prefix' in range ? prefixEnd(this.#start) : undefined
    void this.#run()
  }

  /** The revision up to which the keys are complete, 0 before the first list. */
  get revision(): number {
    return Math.max(0, this.#next - 1)
  }

  close(): void {
    this.#closing.abort()
  }

  async #run(): Promise<void> {
    const { signal } = this.#closing
    let resumed = false
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      try {
        if (resumed && this.#next > 0) {
          this.counts.reconnects += 1
          if (!(await this.#isOurHistory())) this.#next = 0
        }
        if (this.#next === 0) await this.#list(resumed)
        resumed = true
        await this.#watch(() => {
          attempt = -1
        })
      } catch (error) {
        if (signal.aborted) return
        if (LIST_AGAIN.has((error as EtcdRegisterError).code)) this.#next = 0
        this.#keys.failed(error as EtcdRegisterError)
      }
      if (attempt >= 0) await sleep(this.#clock, backoff(attempt, this.#clock), signal)
      await this.#connection.whenUp(signal)
    }
  }

  /** Every page at the revision of the first one. */
  async #list(again: boolean): Promise<void> {
    if (again) this.counts.relists += 1
    const listing = this.#keys.list()
    const revision = await this.#pages(0, false, entry => listing.add(entry))
    if (this.#closing.signal.aborted) return
    listing.done(revision)
    this.#next = revision + 1
  }

  /** Reads the range at a revision, 0 for now; resolves with the revision. Each page is on its way while the one before is read. */
  async #pages(revision: number, keysOnly: boolean, onEntry: (entry: KeyValue) => void): Promise<number> {
    const { signal } = this.#closing
    let page = await this.#read(this.#start, revision, keysOnly)
    const pinned = revision > 0 ? revision : page.revision
    for (;;) {
      const { next } = page
      if (next !== undefined) this.#fitPages(page)
      const following = next && this.#read(next, pinned, keysOnly)
      // Heard of below, when this page is done.
      following?.catch(() => {})
      for (let i = 0; i < page.length && !signal.aborted; i += 1) {
        if (i % AT_A_TIME === AT_A_TIME - 1) await othersTurn()
        onEntry(page.at(i))
      }
      if (following === undefined || signal.aborted) return pinned
      page = await following
    }
  }

  #fitPages({ length, bytes }: RangePage): void {
    this.#pageSize = Math.min(LARGEST_PAGE, Math.max(1, Math.floor((PAGE_BYTES * length) / bytes)))
  }

  async #read(key: Buffer, revision: number, keysOnly: boolean, limit: number = this.#pageSize) {
    try {
      return await this.#connection.range({
        key,
        ...(this.#end && { range_end: this.#end }),
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

  /**
   * Whether etcd's history at our revision is the one that we followed: a store that was wiped, restored or rewound may
   * have caught up since. Values can differ even where all revisions are the same.
   */
  async #isOurHistory(): Promise<boolean> {
    const at = this.revision
    try {
      const page = await this.#read(this.#start, at, false, Math.min(EXACT_CHECK, this.#pageSize))
      if (this.#closing.signal.aborted) return true
      if (page.count !== this.#keys.size) return false
      const listing = page.length === this.#keys.size ? this.#keys.list() : undefined
      for (let i = 0; i < page.length; i += 1) {
        const entry = page.at(i)
        if (this.#keys.revisionOf(entry.key) !== entry.revision) return false
        listing?.add(entry)
      }
      listing?.done(at)
      return true
    } catch (error) {
      if (isGone(error)) return false
      throw error
    }
  }

  /** Every key at our revision, with ours. */
  async #compare(): Promise<Comparison> {
    const touched = new Set<string>()
    this.#touched = touched
    try {
      const found: { key: string; revision: number }[] = []
      await this.#pages(this.revision, true, ({ key, revision }) => found.push({ key, revision }))
      // Looked at when all is read: a key can be touched after its page came.
      const theirs = found.filter(({ key }) => !touched.has(key))
      const known = theirs.filter(({ key }) => this.#keys.revisionOf(key) !== undefined).length
      const same = theirs.filter(({ key, revision }) => this.#keys.revisionOf(key) === revision).length
      const held = [...touched].filter(key => this.#keys.revisionOf(key) !== undefined).length
      const unknown = this.#keys.size - held - known
      const different = theirs.length - same + unknown
      return different === 0 ? 'same' : { different }
    } catch (error) {
      if (isGone(error)) return 'gone'
      throw error
    } finally {
      this.#touched = undefined
    }
  }

  /** Resolves when the watch has to be opened anew; rejects with the reason if it broke. */
  #watch(settled: () => void): Promise<void> {
    const { signal } = this.#closing
    return new Promise((resolve, reject) => {
      if (signal.aborted) return resolve()
      let stopReconcile = () => {}
      let createdAt = Number.POSITIVE_INFINITY
      const over = () => {
        stopReconcile()
        if (this.#clock.now() - createdAt >= SETTLED) settled()
        signal.removeEventListener('abort', leave)
      }
      const leave = () => {
        over()
        cancel()
        resolve()
      }
      const reconcile = (wait = RECONCILE * (1 + this.#clock.random())) => {
        stopReconcile = this.#clock.after(wait, async () => {
          const result = await this.#compare().catch(() => 'same' as const)
          if (signal.aborted || stopped) return
          if (result === 'same') return reconcile()
          if (result !== 'gone') this.counts.repairs += result.different
          this.#next = 0
          settled()
          leave()
        })
      }
      let stopped = false
      const cancel = this.#stream.watch(
        { key: this.#start, rangeEnd: this.#end, from: this.#next },
        {
          onCreated: revision => {
            createdAt = this.#clock.now()
            this.#keys.sync(true, 0)
            reconcile(revision < this.revision ? RECONCILE_SOON : undefined)
          },
          onEvents: changes => this.#deliver(changes),
          onProgress: revision => {
            this.#next = Math.max(this.#next, revision + 1)
          },
          onClosed: (error, silentFor) => {
            stopped = true
            over()
            // Silent since it began: what is due may be too much to come in time. Pages are not.
            const silentSince = silentFor - (this.#clock.now() - createdAt)
            if (error.code === 'ERR_ETCD_STREAM' && silentSince > -AT_ONCE) this.#next = 0
            this.#keys.sync(false, silentFor)
            reject(error)
          },
        },
      )
      signal.addEventListener('abort', leave)
    })
  }

  #deliver(changes: KeyEvent[]): void {
    const news = changes.filter(({ revision }) => revision >= this.#next)
    if (news.length === 0) return
    this.#next = news.at(-1)!.revision + 1
    for (const { key } of this.#touched === undefined ? [] : news) this.#touched!.add(key)
    this.#keys.apply(news)
  }
}

function isGone(error: unknown): boolean {
  const { code } = error as EtcdRegisterError
  return code === 'ERR_ETCD_COMPACTED' || code === 'ERR_ETCD_FUTURE_REVISION'
}
