import type { IWatchRequest } from 'etcd3'
import type { Connection, EtcdStream } from '../client/connection.ts'
import { AWAY } from '../client/health.ts'
import type { Clock } from '../support/clock.ts'
import { EtcdRegisterError } from '../support/errors.ts'
import type { Logger } from '../support/logger.ts'
import { errorFields } from '../support/logger.ts'
import { quoted, shown } from '../support/text.ts'
import { LASTING, WarnOnce } from '../support/warn-once.ts'
import type { KeyEvent } from '../wire/key-value.ts'
import { isRevision } from '../wire/message-fields.ts'
import type { WatchMessage } from '../wire/watch-message.ts'

/** Each second a silent stream has to show that it lives; after three times without an answer it is given up. */
const BEAT = 1000
const MISSES = 3

/** A stream that lived so many beats works; one that is silent each time lives less. */
const LIVES = 5

/** A watch that was cancelled has messages under way. More of them in a second, of watches that nobody asked for, are nonsense. */
const MOST_STRAY = 1000

/** A watch that is known is refused so often in a row at most: users can change again while the stream is opened again. */
const MOST_REFUSALS = 3

/** After a refusal a stream is opened again at once, but so often in a row at most; from then on with backoff. */
const MOST_AT_ONCE = 3

/** Our ids begin here. etcd takes them as they are; etcd's grpc-proxy gives ids of its own, which count up from 0. */
const FIRST_ID = 2 ** 40

export interface WatchTarget {
  key: Buffer
  rangeEnd?: Buffer | undefined
  /** First revision to deliver; read again when the stream is opened again. */
  from(): number
}

export interface WatchHandlers {
  /**
   * `revision`: where the member is; a follower can be behind, and so is a store that was wiped. Again when the stream was
   * opened again without a break.
   */
  onCreated(revision: number): void
  /** All events of one or more whole revisions; the first ones can be older than `from`. */
  onEvents(events: KeyEvent[]): void
  /** Nothing happened up to and with this revision. */
  onProgress(revision: number): void
  /** Once, when this watch is over; `silentFor`: ms since the last message of the stream. */
  onClosed(error: EtcdRegisterError, silentFor: number): void
}

interface Watch extends WatchHandlers {
  target: WatchTarget
  /** Its id at the server, once it is created. */
  id: number | undefined
  /** It was created before, on a stream that was opened again since. */
  known: boolean
  /** Refusals in a row. */
  refusals: number
}

/**
 * Who gives the watches of a stream their ids. `unknown`: the first watch is not created yet; `client`: we do, as with
 * etcd itself; `server`: etcd's grpc-proxy does. https://github.com/etcd-io/etcd/issues/12819
 */
type Numbering = 'unknown' | 'client' | 'server'

interface Silence {
  /** Beats since it was opened. */
  age: number
  /** Beats in a row without an answer. */
  misses: number
  /** When the last message had come, one beat ago. */
  heardAt: number
  again: boolean
}

/**
 * All watches of a registry over one stream. It only carries: when the stream breaks, every watch on it is closed, and
 * the owner of the watch opens it again from where it stood.
 */
export class WatchStream {
  readonly #connection: Connection
  readonly #clock: Clock
  /** By their number, in the order in which they were asked for. */
  readonly #watches = new Map<number, Watch>()
  /** Numbers of watches that are still to be requested. */
  #waiting: number[] = []
  /** Numbers of watches that are requested, in order: a refusal does not name its watch. */
  #creating: number[] = []
  /** Of the watches that are created, by their id at the server. */
  readonly #numbers = new Map<number, number>()
  #numbering: Numbering = 'unknown'
  #stream: EtcdStream<IWatchRequest> | 'opening' | undefined
  #lastNumber = FIRST_ID
  /** When the last message came, by the clock, and when a watch was last created or requested first. */
  #heardAt = 0
  #createdAt = 0
  /** Messages of no watch since the last beat. */
  #strays = 0
  #stopBeat = () => {}
  /** Times that the stream was opened again after a refusal, since one last lived. */
  #reopened = 0
  readonly #closing = new AbortController()
  readonly #broken: WarnOnce

  constructor(connection: Connection, clock: Clock, logger: Logger) {
    this.#connection = connection
    this.#clock = clock
    this.#broken = new WarnOnce(clock, logger)
  }

  /**
   * Whether etcd's grpc-proxy is in between. It answers for a member that is silent, and no requests for progress, so
   * the silence of a watch means nothing there.
   */
  get proxied(): boolean {
    return this.#numbering === 'server'
  }

  /** Returns the cancellation, after which no handler is called. */
  watch(target: WatchTarget, handlers: WatchHandlers): () => void {
    this.#lastNumber += 1
    const number = this.#lastNumber
    this.#watches.set(number, { ...handlers, target, id: undefined, known: false, refusals: 0 })
    if (this.#stream === undefined) void this.#open()
    else {
      this.#waiting.push(number)
      this.#createWaiting()
    }
    return () => this.#cancel(number)
  }

  /** What a watch delivered is nothing that etcd says: all go over to another member, and that is told. */
  distrust(why: string): void {
    if (typeof this.#stream === 'object') this.#break(this.#stream.distrust(why))
  }

  close(): void {
    this.#closing.abort()
    this.#watches.clear()
    this.#broken.close()
    this.#end()
  }

  /** `again`: instead of a stream that was silent from its beginning. */
  async #open(again = false): Promise<void> {
    this.#stream = 'opening'
    this.#waiting = [...this.#watches.keys()]
    this.#creating = []
    try {
      let broken: EtcdRegisterError | undefined
      if (this.#reopened > MOST_AT_ONCE)
        await this.#connection.pause(this.#reopened - MOST_AT_ONCE, this.#closing.signal)
      const stream = await this.#connection.openWatch({
        onData: response => this.#receive(response),
        onClose: error => {
          broken = error
          if (this.#stream !== 'opening') this.#break(error)
        },
      })
      if (broken) throw broken
      this.#stream = stream
      if (this.#watches.size === 0) return this.#end()
      if (!again) this.#heardAt = this.#clock.now()
      this.#createWaiting()
      this.#beat(stream, { age: 0, misses: 0, heardAt: this.#heardAt, again })
    } catch (error) {
      this.#stream = undefined
      this.#break(error as EtcdRegisterError)
    }
  }

  /**
   * The first watch is created alone, since its answer says who gives the ids. A server that does so need not answer in
   * order: there each one is created alone.
   */
  #createWaiting(): void {
    while (typeof this.#stream === 'object' && this.#waiting.length > 0) {
      if (this.#numbering !== 'client' && this.#creating.length > 0) return
      const number = this.#waiting.shift()!
      const watch = this.#watches.get(number)
      if (watch === undefined) continue
      if (this.#creating.length === 0) this.#createdAt = this.#clock.now()
      this.#creating.push(number)
      this.#create(this.#stream, number, watch.target)
    }
  }

  /**
   * From one revision earlier than is to be delivered: from 3.5 on, etcd answers no request for progress while a watch
   * on the stream begins at a revision that the store has not reached, and in a store without writes it never does.
   *
   * Without `fragment`: etcd (3.4 to 3.7) splits a response in a time that grows with the square of its events, 100,000
   * deletes in 12 s and silent meanwhile, while the connection takes messages of any size that it lists.
   */
  #create(stream: EtcdStream<IWatchRequest>, id: number, { key, rangeEnd, from }: WatchTarget): void {
    stream.write({
      create_request: {
        key,
        ...(rangeEnd && { range_end: rangeEnd }),
        start_revision: String(Math.max(1, from() - 1)),
        watch_id: id,
        progress_notify: true,
      },
    } as unknown as IWatchRequest)
  }

  #cancel(number: number): void {
    const watch = this.#watches.get(number)
    if (!this.#watches.delete(number) || typeof this.#stream !== 'object') return
    if (this.#watches.size === 0) this.#end()
    // One that is only requested is cancelled with the answer.
    else if (watch?.id !== undefined) this.#cancelAtServer(watch.id)
  }

  #cancelAtServer(id: number): void {
    if (typeof this.#stream === 'object')
      this.#stream.write({ cancel_request: { watch_id: id } } as unknown as IWatchRequest)
  }

  #receive(message: WatchMessage): void {
    // Nobody was asked yet.
    if (typeof this.#stream !== 'object') return
    this.#heardAt = this.#clock.now()
    if (message.created) this.#created(message)
    else this.#deliver(message)
  }

  #deliver(message: WatchMessage): void {
    const { watchId, canceled, revision, events } = message
    // An answer to a request for progress has the id -1. Its revision can be ahead of events still to come.
    const number = this.#numbers.get(watchId)
    if (canceled) this.#numbers.delete(watchId)
    const watch = number === undefined ? undefined : this.#watches.get(number)
    if (watch === undefined) {
      // Thousands can be cancelled at once, and each of them is answered.
      if (number === undefined || !canceled) this.#strays += 1
      if (this.#strays > MOST_STRAY) this.distrust('messages of watches that nobody asked for')
      return
    }
    if (canceled) {
      // A watch is ended so where it waits for what is compacted.
      const { compactRevision } = message
      if (
        compactRevision > 0 &&
        !(isRevision(compactRevision) && compactRevision >= watch.target.from() - 1)
      ) {
        this.distrust(`what it compacted up to revision ${compactRevision} is no part of a watch`)
        return
      }
      this.#watches.delete(number!)
      // etcd keeps a watch whose history is compacted, and answers no request for progress until it is cancelled.
      this.#cancelAtServer(watchId)
      watch.onClosed(this.#refusal(message, watch), 0)
    } else if (events.length > 0) watch.onEvents(events)
    else if (isRevision(revision)) watch.onProgress(revision)
    else this.distrust(`progress to revision ${revision}`)
  }

  #created(message: WatchMessage): void {
    const number = this.#creating.shift()
    if (number === undefined) {
      this.distrust('a watch that nobody asked for')
      return
    }
    this.#createdAt = this.#heardAt
    const watch = this.#watches.get(number)
    const { watchId, canceled } = message
    if (canceled) {
      if (watch?.known && watch.refusals < MOST_REFUSALS) watch.refusals += 1
      else {
        this.#watches.delete(number)
        watch?.onClosed(this.#refusal(message, watch), 0)
      }
      this.#openAgain()
      return
    }
    if (!this.#isIdFor(number, watchId) || !isRevision(message.revision)) {
      this.distrust(`a watch with the id ${watchId}, at revision ${message.revision}`)
      return
    }
    if (this.#numbering === 'unknown') this.#numbering = watchId === number ? 'client' : 'server'
    if (watch === undefined) this.#cancelAtServer(watchId)
    else {
      watch.id = watchId
      watch.known = true
      watch.refusals = 0
      this.#numbers.set(watchId, number)
      watch.onCreated(message.revision)
    }
    this.#createWaiting()
  }

  /** Ours where the client numbers, and where the server does one that no other watch has. */
  #isIdFor(number: number, id: number): boolean {
    if (id === number) return this.#numbering !== 'server'
    return this.#numbering !== 'client' && id >= 0 && id < FIRST_ID && !this.#numbers.has(id)
  }

  /**
   * Counts beats, not time: a blocked event loop must not look like a silent member. A stream that is silent from its
   * beginning is opened once more first: a balancer sends the next one to another member.
   */
  #beat(stream: EtcdStream<IWatchRequest>, { age, misses, heardAt, again }: Silence): void {
    this.#stopBeat = this.#clock.after(BEAT, () => {
      const missed = this.#heardAt > heardAt && !this.#createIsLate ? 0 : misses + 1
      if (missed > 0 && this.#numbering === 'unknown' && !again) {
        stream.cancel(true)
        return void this.#open(true)
      }
      if (missed >= MISSES) {
        stream.cancel(true)
        const text = `etcd at ${stream.member} was silent on the watch stream.`
        return this.#break(new EtcdRegisterError('ERR_ETCD_STREAM', text))
      }
      if (missed === 0 && age >= LIVES) this.#worksAgain(stream.member)
      if (age >= LIVES) this.#reopened = 0
      this.#strays = 0
      this.#askForAnswer(stream)
      this.#beat(stream, { age: age + 1, misses: missed, heardAt: this.#heardAt, again })
    })
  }

  /** A proxy answers reads although the watch that it was asked for never comes. */
  get #createIsLate(): boolean {
    return this.#creating.length > 0 && this.#clock.now() - this.#createdAt > BEAT
  }

  #askForAnswer(stream: EtcdStream<IWatchRequest>): void {
    if (this.#numbering === 'client') stream.write({ progress_request: {} } as unknown as IWatchRequest)
    if (this.#numbering !== 'server') return
    void stream.answers(MISSES * BEAT).then(answered => {
      if (answered && this.#stream === stream) this.#heardAt = this.#clock.now()
    })
  }

  /**
   * After a refusal: a stream keeps the token that it was opened with, and some servers of etcd 3.4 read nothing more from
   * it. The other watches go on from where they are.
   */
  #openAgain(): void {
    const left = new Map(this.#watches)
    this.#watches.clear()
    this.#end()
    for (const [number, watch] of left) this.#watches.set(number, { ...watch, id: undefined })
    if (left.size === 0) return
    this.#reopened += 1
    void this.#open()
  }

  #worksAgain(member: string): void {
    const message = `the watch stream on etcd at ${member} works again`
    this.#broken.ends(() => ({ fields: { member }, message }))
  }

  /** Of an etcd that is away or sends nonsense the connection warns. */
  #warnOf(error: EtcdRegisterError): void {
    const { code, message } = error
    if (AWAY.has(code) || code === 'ERR_ETCD_ANSWER' || code === 'ERR_CLOSED') {
      this.#broken.dropUntold()
      return
    }
    const text = `${message} Discoveries are stale, and keys that others delete are not seen. Retrying.`
    this.#broken.begins('broken', { fields: errorFields(error), message: text }, LASTING)
  }

  #break(error: EtcdRegisterError): void {
    this.#warnOf(error)
    const silentFor = this.#clock.now() - this.#heardAt
    const watches = [...this.#watches.values()]
    this.#watches.clear()
    this.#end()
    for (const watch of watches) watch.onClosed(error, silentFor)
  }

  #end(): void {
    this.#stopBeat()
    this.#waiting = []
    this.#creating = []
    this.#numbers.clear()
    this.#numbering = 'unknown'
    if (this.#stream === 'opening') return
    this.#stream?.cancel()
    this.#stream = undefined
  }

  #refusal({ compactRevision, cancelReason }: WatchMessage, { target }: Watch): EtcdRegisterError {
    if (compactRevision > 0) {
      return new EtcdRegisterError('ERR_ETCD_COMPACTED', `Revisions up to ${compactRevision} are compacted.`)
    }
    const status = /permission denied/.test(cancelReason) ? 7 : 14
    const cause = new Error(`${status} WATCH: ${cancelReason}`)
    const key = String(target.key)
    const error = this.#connection.failure(cause, 'a watch', [key])
    if (error.code !== 'ERR_ETCD_UNAVAILABLE') return error
    // etcd is there, and has a reason of its own.
    const text = `etcd refused a watch of ${quoted(key)} (${shown(cancelReason)}).`
    return new EtcdRegisterError('ERR_ETCD_REQUEST', text, { cause: error })
  }
}
