import { backoff } from './backoff.ts'
import { type Clock, sleep } from './clock.ts'
import { type Comparison, compareAll, isSameHistory } from './comparison.ts'
import type { ErrorCode, EtcdRegisterError } from './errors.ts'
import type { Connection } from './etcd/connection.ts'
import type { KeyEvent, WatchedKeys } from './etcd/key-value.ts'
import type { WatchStream } from './etcd/watch-stream.ts'
import type { KeyRange } from './formats/index.ts'
import { RangeReader } from './range-reader.ts'

/** A watch that lived shorter, in ms, is opened again with backoff: its streams die as soon as they are made. */
const SETTLED = 5000

/** A reconcile comes between 5 and 10 minutes after the last one. */
const RECONCILE = 300_000

/** It comes as soon, in ms, where the member seems to be behind us: perhaps its store was wiped. */
const RECONCILE_SOON = 1000

/** What is heard of a watch within this time, in ms, is its beginning. */
const AT_ONCE = 500

export interface WatchDeps {
  connection: Connection
  stream: WatchStream
  clock: Clock
}

export interface WatchCounts {
  relists: number
  reconnects: number
  repairs: number
}

/** The events that are due are gone, or too much for one message. */
const LIST_AGAIN: ReadonlySet<ErrorCode> = new Set(['ERR_ETCD_COMPACTED', 'ERR_ETCD_REQUEST'])

/**
 * Keeps `keys` equal to a range in etcd, without a gap: lists at a revision, watches from the next one on, goes on from
 * what was delivered when the stream breaks, and lists again when that history is compacted, rewound or not the same.
 */
export class RangeWatch {
  readonly #connection: Connection
  readonly #stream: WatchStream
  readonly #clock: Clock
  readonly #keys: WatchedKeys
  readonly #reader: RangeReader
  readonly #closing = new AbortController()
  readonly counts: WatchCounts = { relists: 0, reconnects: 0, repairs: 0 }
  /** The revision to watch from; 0: list first. */
  #next: number
  /** Keys that changed while a reconcile reads. */
  #touched: Set<string> | undefined

  /** `from`: `keys` is complete up to the revision before it. */
  constructor({ connection, stream, clock }: WatchDeps, range: KeyRange, keys: WatchedKeys, from = 0) {
    this.#connection = connection
    this.#stream = stream
    this.#clock = clock
    this.#keys = keys
    this.#next = from
    this.#reader = new RangeReader(connection, range, this.#closing.signal)
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
          if (!(await isSameHistory(this.#reader, this.#keys, this.revision, signal))) this.#next = 0
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
    const revision = await this.#reader.each(0, entry => listing.add(entry))
    if (this.#closing.signal.aborted) return
    listing.done(revision)
    this.#next = revision + 1
  }

  async #compare(): Promise<Comparison> {
    this.#touched = new Set()
    try {
      return await compareAll(this.#reader, this.#keys, this.revision, this.#touched)
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
        { key: this.#reader.start, rangeEnd: this.#reader.end, from: this.#next },
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
