import type { Connection } from '../client/connection.ts'
import { type Clock, sleep } from '../support/clock.ts'
import type { ErrorCode, EtcdRegisterError } from '../support/errors.ts'
import type { KeyEvent } from '../wire/key-value.ts'
import { type Comparison, compareAll, compareHistory } from './comparison.ts'
import type { KeyRange } from './key-range.ts'
import { MOST_KEYS, type RangeMark, RangeReader } from './range-reader.ts'
import type { WatchStream } from './watch-stream.ts'
import type { WatchedKeys } from './watched-keys.ts'

/** A watch that lived shorter, in ms, is opened again with backoff: its streams die as soon as they are made. */
const SETTLED = 5000

/** A reconcile comes between 5 and 10 minutes after the last one. */
const RECONCILE = 300_000

/** It comes as soon, in ms, where the member seems to be behind us: perhaps its store was wiped. */
const RECONCILE_SOON = 1000

/** What a reconnect left out is compared 10 to 50 s later, so that a fleet does not read everything at once. In ms. */
const VERIFY = 10_000

/** Values are compared too where they take no longer than this to read, in ms; else keys and revisions. */
const VALUES = 10_000

/** A comparison that failed comes again after this time, in ms. */
const VERIFY_AGAIN = 5000

/** A watch that was just begun can be compacted, or its store replaced, but not so often in a row. */
const MOST_RESTARTS = 2

/** What is heard of a watch within this time, in ms, is its beginning. */
const AT_ONCE = 500

/** Behind etcd's grpc-proxy the range is asked for its newest change every 15 to 30 s; events have 3 s to come. In ms. */
const CHECK = 15_000
const LATEST = 3000

/** Where the range stands is requested again after 3 s, and after twice the time with each request, up to 48 s. */
const MOST_DOUBLINGS = 4

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
  /** When to compare all keys, by the clock: after a reconnect only the first ones were. */
  #verifyAt: number | undefined
  /** Watches in a row that had to list again as soon as they were begun. */
  #restarts = 0
  /** Keys that changed while a reconcile reads. */
  #touched: Set<string> | undefined
  /** Where the range stood after the watch began: the keys are current once they are as far. */
  #due: RangeMark | undefined

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
          const history = await compareHistory(this.#reader, this.#keys, this.revision, signal)
          if (history === 'other') this.#next = 0
          if (history === 'same-so-far') this.#verifyAt ??= this.#soon
        }
        if (this.#next === 0) await this.#list(resumed)
        resumed = true
        await this.#watch(() => {
          attempt = -1
        })
      } catch (error) {
        if (signal.aborted) return
        const failure = error as EtcdRegisterError
        if (LIST_AGAIN.has(failure.code)) this.#next = 0
        this.#keys.failed(failure)
      }
      await this.#connection.pause(attempt, signal)
    }
  }

  async #list(again: boolean): Promise<void> {
    if (again) this.counts.relists += 1
    const listing = this.#keys.list()
    const seen: string[] = []
    const read = await this.#reader.each(0, entry => {
      seen.push(entry.key)
      listing.add(entry)
    })
    // A list that takes longer than etcd keeps its history is made complete by what changed meanwhile.
    const late = read.oldest < read.revision ? await this.#reader.changesSince(read.oldest, seen) : undefined
    if (this.#closing.signal.aborted) return
    const { revision } = late ?? read
    // Before the change is announced: its listeners read the revision.
    this.#next = revision + 1
    this.#verifyAt = late && this.#soon
    listing.done(revision)
    if (late !== undefined && late.events.length > 0) this.#keys.apply(late.events)
  }

  /** When what was left out is compared. */
  get #soon(): number {
    return this.#clock.now() + VERIFY * (1 + 4 * this.#clock.random())
  }

  /** `values`: also what the keys hold. */
  async #compare(values: boolean): Promise<Comparison> {
    const touched = new Set<string>()
    this.#touched = touched
    try {
      return await compareAll(this.#reader, this.#keys, this.revision, { touched, values })
    } finally {
      this.#touched = undefined
    }
  }

  /** Resolves when the watch has to be opened anew; rejects with the reason if it broke. */
  #watch(settled: () => void): Promise<void> {
    const { signal } = this.#closing
    const ended = new AbortController()
    return new Promise((resolve, reject) => {
      if (signal.aborted) return resolve()
      let createdAt = Number.POSITIVE_INFINITY
      const over = () => {
        ended.abort()
        this.#due = undefined
        signal.removeEventListener('abort', leave)
        if (this.#clock.now() - createdAt < SETTLED) return
        this.#restarts = 0
        settled()
      }
      const leave = () => {
        over()
        cancel()
        resolve()
      }
      const listAgain = () => {
        this.#next = 0
        this.#restarted()
        settled()
        leave()
      }
      const cancel = this.#stream.watch(
        { key: this.#reader.start, rangeEnd: this.#reader.end, from: () => this.#next },
        {
          onCreated: revision => {
            this.#keys.watched?.()
            void this.#catchUp(revision, ended.signal)
            if (createdAt < Number.POSITIVE_INFINITY) return
            createdAt = this.#clock.now()
            void this.#reconcile(revision < this.revision, ended.signal, listAgain)
            if (this.#stream.proxied) void this.#check(ended.signal, listAgain)
          },
          onEvents: changes => {
            const why = this.#objection(changes)
            if (why === undefined) return this.#deliver(changes)
            this.#next = 0
            this.#stream.distrust(why)
          },
          onProgress: revision => {
            this.#next = Math.max(this.#next, revision + 1)
            this.#becomeFresh()
          },
          onClosed: (error, silentFor) => {
            over()
            if (error.code === 'ERR_ETCD_COMPACTED') this.#restarted()
            // Silent since it began: what is due may be too much to come in time. Pages are not.
            const silentSince = silentFor - (this.#clock.now() - createdAt)
            if (error.code === 'ERR_ETCD_STREAM' && silentSince > -AT_ONCE) this.#next = 0
            this.#keys.sync?.(false, silentFor)
            reject(error)
          },
        },
      )
      signal.addEventListener('abort', leave)
    })
  }

  #restarted(): void {
    this.#restarts += 1
    if (this.#restarts <= MOST_RESTARTS) return
    this.#restarts = 0
    this.#stream.distrust('it denies again and again the revision that it gave')
  }

  /**
   * The watch begins where etcd was at `revision`. Of what happened up to then in this range, the events are still to come,
   * and where nothing happened, none will. Asked again while they are late: what a member said may be wrong.
   */
  async #catchUp(revision: number, ended: AbortSignal): Promise<void> {
    if (this.#keys.sync === undefined) return
    if (revision <= this.revision) return this.#keys.sync(true, 0)
    for (let attempt = 0; !ended.aborted; attempt += 1) {
      try {
        const due = await this.#reader.mark()
        if (ended.aborted) return
        this.#due = due
        this.#becomeFresh()
        if (this.#due !== due) return
        if (this.#contradicts(due)) {
          this.#due = undefined
          const why = `${due.count} keys, none of which is newer than the ${this.#keys.size} that are known`
          throw this.#connection.distrust('a read', why, due.member)
        }
        await sleep(this.#clock, LATEST * 2 ** Math.min(attempt, MOST_DOUBLINGS), ended)
        if (this.#due !== due) return
      } catch (error) {
        if (ended.aborted) return
        this.#keys.failed(error as EtcdRegisterError)
        await this.#connection.pause(attempt, ended)
      }
    }
  }

  #becomeFresh(): void {
    if (this.#due === undefined || !this.#hasReached(this.#due)) return
    this.#due = undefined
    this.#keys.sync?.(true, 0)
  }

  /** With all of its keys and no other one, a range differs from the mark at most in what was put and deleted since. */
  #hasReached({ revision, newest, count }: RangeMark): boolean {
    return this.revision >= revision || (this.revision >= newest && this.#keys.size === count)
  }

  /** Where no key is newer than our revision, only deletions can be missing here, and they leave fewer keys than we have. */
  #contradicts({ newest, count }: RangeMark): boolean {
    return newest <= this.revision && count > this.#keys.size
  }

  async #reconcile(soon: boolean, ended: AbortSignal, listAgain: () => void): Promise<void> {
    for (let wait = soon ? RECONCILE_SOON : this.#untilReconcile(); ; wait = this.#untilReconcile()) {
      await sleep(this.#clock, wait, ended)
      if (ended.aborted) return
      const verifying = this.#verifyAt !== undefined
      const result = await this.#compare(verifying && this.#reader.timeFor(this.#keys.size) <= VALUES).catch(
        () => 'failed' as const,
      )
      if (ended.aborted) return
      this.#verifyAt = verifying && result === 'failed' ? this.#clock.now() + VERIFY_AGAIN : undefined
      if (result === 'same' || result === 'failed') continue
      // What a reconnect finds is no fault of the watch.
      if (result !== 'gone' && !verifying) this.counts.repairs += result.different
      return listAgain()
    }
  }

  #untilReconcile(): number {
    if (this.#verifyAt !== undefined) return Math.max(0, this.#verifyAt - this.#clock.now())
    return RECONCILE * (1 + this.#clock.random())
  }

  /** A proxy goes on answering when the member that it has its events from is silent. */
  async #check(ended: AbortSignal, listAgain: () => void): Promise<void> {
    for (;;) {
      await sleep(this.#clock, CHECK * (1 + this.#clock.random()), ended)
      const mark = await this.#insistOnMark(ended)
      if (mark === undefined) return
      if (this.#hasReached(mark)) continue
      await sleep(this.#clock, LATEST, ended)
      if (ended.aborted) return
      if (this.#hasReached(mark)) continue
      this.#keys.sync?.(false, LATEST)
      return listAgain()
    }
  }

  /** Reads until one is answered: a proxy sends some of them to the silent member. */
  async #insistOnMark(ended: AbortSignal): Promise<RangeMark | undefined> {
    for (; !ended.aborted; await sleep(this.#clock, LATEST, ended)) {
      const mark = await this.#reader.mark().catch(() => undefined)
      if (mark !== undefined && !ended.aborted) return mark
    }
    return undefined
  }

  /** Why these events cannot be those of the watch. The revision before the next one is watched too, and older ones are not. */
  #objection(changes: readonly KeyEvent[]): string | undefined {
    if (changes.some(({ key }) => !this.#reader.includes(key))) return 'an event of another range'
    if (this.#keys.size > MOST_KEYS) return `a range of more than ${MOST_KEYS} keys`
    const old = changes.find(({ revision }) => revision < this.#next - 1)
    return old && `an event of revision ${old.revision} after revision ${this.revision}`
  }

  #deliver(changes: KeyEvent[]): void {
    const news = changes.filter(({ revision }) => revision >= this.#next)
    if (news.length === 0) return
    this.#next = news.at(-1)!.revision + 1
    for (const { key } of this.#touched === undefined ? [] : news) this.#touched!.add(key)
    this.#keys.apply(news)
    this.#becomeFresh()
  }
}
