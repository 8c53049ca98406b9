import type { IWatchRequest } from 'etcd3'
import type { Clock } from '../clock.ts'
import { EtcdRegisterError } from '../errors.ts'
import type { Connection, EtcdStream } from './connection.ts'
import { etcdError } from './errors.ts'
import type { KeyEvent } from './key-value.ts'
import type { WatchMessage } from './watch-message.ts'

/** A silent stream is asked for a sign of life each second and given up after three without an answer. */
const BEAT = 1000
const MISSES = 3

export interface WatchTarget {
  key: Buffer
  rangeEnd?: Buffer | undefined
  /** First revision to deliver. */
  from: number
}

export interface WatchHandlers {
  /** `revision`: where the member is; a follower can be behind, a store that was wiped is. */
  onCreated(revision: number): void
  /** All events of one or more whole revisions. */
  onEvents(events: KeyEvent[]): void
  /** Nothing happened up to and with this revision. */
  onProgress(revision: number): void
  /** Once, when this watch is over; `silentFor`: ms since the stream was last heard. */
  onClosed(error: EtcdRegisterError, silentFor: number): void
}

interface Watch extends WatchHandlers {
  target: WatchTarget
}

/**
 * All watches of a registry over one stream. It only carries: when the stream breaks, every watch on it is closed, and
 * whoever owns the watch opens it again from where it stood.
 */
export class WatchStream {
  readonly #connection: Connection
  readonly #clock: Clock
  readonly #watches = new Map<number, Watch>()
  /** In the order of their requests, since a refusal does not name the watch that it is for. */
  #creating: number[] = []
  #stream: EtcdStream<IWatchRequest> | 'opening' | undefined
  #lastId = 0
  #heardAt = 0
  #stopBeat = () => {}

  constructor(connection: Connection, clock: Clock) {
    this.#connection = connection
    this.#clock = clock
  }

  /** Returns the cancellation, after which no handler is called. */
  watch(target: WatchTarget, handlers: WatchHandlers): () => void {
    this.#lastId += 1
    const id = this.#lastId
    this.#watches.set(id, { ...handlers, target })
    if (this.#stream === undefined) void this.#open()
    else if (this.#stream !== 'opening') this.#create(this.#stream, id, target)
    return () => this.#cancel(id)
  }

  close(): void {
    this.#watches.clear()
    this.#end()
  }

  async #open(): Promise<void> {
    this.#stream = 'opening'
    this.#creating = []
    try {
      let broken: EtcdRegisterError | undefined
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
      this.#heardAt = this.#clock.now()
      for (const [id, { target }] of this.#watches) this.#create(stream, id, target)
      this.#beat(stream, 0, this.#heardAt)
    } catch (error) {
      this.#stream = undefined
      this.#break(error as EtcdRegisterError)
    }
  }

  /**
   * Without `fragment`: etcd (3.4 to 3.6) splits a response in a time that grows with the square of its events, 100,000
   * deletes in 12 s and silent meanwhile, while the connection takes messages of any size that it lists.
   */
  #create(stream: EtcdStream<IWatchRequest>, id: number, { key, rangeEnd, from }: WatchTarget): void {
    this.#creating.push(id)
    stream.write({
      create_request: {
        key,
        ...(rangeEnd && { range_end: rangeEnd }),
        start_revision: String(from),
        watch_id: id,
        progress_notify: true,
      },
    } as unknown as IWatchRequest)
  }

  #cancel(id: number): void {
    if (!this.#watches.delete(id) || this.#stream === 'opening') return
    if (this.#watches.size === 0) this.#end()
    else this.#stream?.write({ cancel_request: { watch_id: id } } as unknown as IWatchRequest)
  }

  #receive(message: WatchMessage): void {
    this.#heardAt = this.#clock.now()
    const { created, canceled, revision, events } = message
    const id = (created ? this.#creating.shift() : message.watchId) ?? 0
    const watch = this.#watches.get(id)
    if (canceled) {
      this.#watches.delete(id)
      watch?.onClosed(refusal(message), 0)
      // Some servers of etcd 3.4 read nothing more from a stream after they refused a watch.
      if (created) this.#break(new EtcdRegisterError('ERR_ETCD_STREAM', 'Another watch was refused.'))
      return
    }
    // An answer to our beat comes under the id -1. Its revision can be ahead of events still to come.
    if (watch === undefined) return
    if (created) watch.onCreated(revision)
    else if (events.length > 0) watch.onEvents(events)
    else watch.onProgress(revision)
  }

  /** Counts beats, not time: a blocked event loop must not look like a silent member. */
  #beat(stream: EtcdStream<IWatchRequest>, misses: number, heardAt: number): void {
    this.#stopBeat = this.#clock.after(BEAT, () => {
      const missed = this.#heardAt > heardAt ? 0 : misses + 1
      if (missed >= MISSES) {
        stream.cancel(true)
        const text = `etcd at ${stream.member} was silent on the watch stream.`
        return this.#break(new EtcdRegisterError('ERR_ETCD_STREAM', text))
      }
      stream.write({ progress_request: {} } as unknown as IWatchRequest)
      this.#beat(stream, missed, this.#heardAt)
    })
  }

  #break(error: EtcdRegisterError): void {
    const silentFor = this.#clock.now() - this.#heardAt
    const watches = [...this.#watches.values()]
    this.#watches.clear()
    this.#end()
    for (const watch of watches) watch.onClosed(error, silentFor)
  }

  #end(): void {
    this.#stopBeat()
    if (this.#stream === 'opening') return
    this.#stream?.cancel()
    this.#stream = undefined
  }
}

function refusal({ compactRevision, cancelReason }: WatchMessage): EtcdRegisterError {
  if (compactRevision > 0) {
    return new EtcdRegisterError('ERR_ETCD_COMPACTED', `Revisions up to ${compactRevision} are compacted.`)
  }
  const reason = cancelReason === '' ? 'no reason given' : cancelReason
  const status = /permission denied/.test(reason) ? 7 : 14
  const error = new Error(`${status} WATCH: ${reason}`)
  return etcdError(error, { what: 'a watch', where: 'this member', username: undefined })
}
