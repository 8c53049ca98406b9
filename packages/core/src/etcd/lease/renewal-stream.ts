import type { Connection, EtcdStream } from '../client/connection.ts'
import type { Clock } from '../support/clock.ts'
import type { EtcdRegisterError } from '../support/errors.ts'

/** A lease on a stream. */
export interface Renewable {
  readonly id: string
  /** When those requests were sent, by the clock, that are not answered yet. */
  readonly unanswered: readonly number[]
  /** What was sent on the stream is void: it ended, or is another one now. */
  streamEnded(): void
  /** Sends a request, or finds that the lease is over. */
  send(): void
  /** etcd gives the lease so many seconds; 0: there is no such lease. Returns what is wrong with the answer. */
  received(ttl: number): string | undefined
}

export interface RenewalStreamDeps<Lease extends Renewable> {
  connection: Pick<Connection, 'pause' | 'openKeepAlive'>
  clock: Pick<Clock, 'now'>
  /** etcd ended the stream since it may not renew one of these, which are in the order of their requests. */
  refused(leases: Lease[]): void
}

/** One keepalive stream for the leases on it. It is opened again for as long as there is one, on another member if need be. */
export class RenewalStream<Lease extends Renewable = Renewable> {
  readonly #deps: RenewalStreamDeps<Lease>
  readonly #leases = new Map<string, Lease>()
  /** Of leases that were removed: how many answers are still to come on this stream. */
  readonly #late = new Map<string, number>()
  #stream: EtcdStream<{ ID: string }> | undefined
  #running: AbortController | undefined
  /** Streams opened since one proved sound: those that end after their first answers are no success. */
  #opened = 0
  /** How the last stream failed, until etcd answers. */
  failure: EtcdRegisterError | undefined
  /** When etcd last answered, by the clock. */
  heardAt: number = Number.NEGATIVE_INFINITY
  /** Streams that etcd ended since it may not renew a lease. */
  refusals = 0

  constructor(deps: RenewalStreamDeps<Lease>) {
    this.#deps = deps
  }

  add(lease: Lease): void {
    this.#leases.set(lease.id, lease)
  }

  /** Without leases the stream ends. */
  remove(lease: Lease): void {
    if (!this.#leases.delete(lease.id)) return
    if (lease.unanswered.length > 0) this.#late.set(lease.id, lease.unanswered.length)
    if (this.#leases.size > 0) return
    this.#running?.abort()
    this.#running = undefined
    this.#end()
    this.#opened = 0
  }

  /** Returns whether it was sent. If not, the stream is being opened, and asks the lease to send then. */
  write(lease: Lease): boolean {
    if (this.#stream !== undefined) this.#stream.write({ ID: lease.id })
    else if (this.#running === undefined) this.#open()
    return this.#stream !== undefined
  }

  /** An answer is late: the next stream goes to another member. */
  replace(): void {
    if (this.#stream === undefined) return
    this.#end(true)
    this.#open()
  }

  /** `sound`: the stream has carried two answers for one lease. */
  answered(sound: boolean): void {
    this.failure = undefined
    if (sound) this.#opened = 0
  }

  #end(failed = false): void {
    this.#stream?.cancel(failed)
    this.#ended()
  }

  #ended(): void {
    this.#stream = undefined
    this.#late.clear()
    for (const lease of this.#leases.values()) lease.streamEnded()
  }

  #open(): void {
    this.#running?.abort()
    if (this.#leases.size === 0) return
    this.#running = new AbortController()
    void this.#run(this.#running.signal)
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { connection } = this.#deps
    for (; !signal.aborted; this.#opened += 1) {
      await connection.pause(this.#opened - 1, signal)
      if (signal.aborted) return
      try {
        const stream = await connection.openKeepAlive({
          onData: ({ ID, TTL }) => this.#received(ID, Number(TTL)),
          onClose: error => this.#closed(error),
        })
        if (signal.aborted) return stream.cancel()
        this.#opened += 1
        this.#stream = stream
        // The first one may find that its lease is over, or that the stream is.
        for (const lease of this.#leases.values()) if (this.#stream === stream) lease.send()
        return
      } catch (error) {
        // The next turn waits a little longer.
        this.failure = error as EtcdRegisterError
      }
    }
  }

  #closed(error: EtcdRegisterError): void {
    this.failure = error
    const unanswered = this.#unanswered()
    this.#ended()
    if (error.code === 'ERR_ETCD_PERMISSION') {
      this.refusals += 1
      this.#deps.refused(unanswered)
    }
    this.#open()
  }

  #unanswered(): Lease[] {
    return [...this.#leases.values()]
      .filter(({ unanswered }) => unanswered.length > 0)
      .sort((a, b) => a.unanswered[0]! - b.unanswered[0]!)
  }

  #received(id: string, ttl: number): void {
    this.heardAt = this.#deps.clock.now()
    const lease = this.#leases.get(id)
    const wrong = lease === undefined ? this.#receivedLate(id) : lease.received(ttl)
    if (wrong === undefined) return
    this.#stream?.distrust(wrong)
    this.#end()
    this.#open()
  }

  #receivedLate(id: string): string | undefined {
    const left = this.#late.get(id) ?? 0
    if (left === 0) return 'it renewed another lease'
    if (left === 1) this.#late.delete(id)
    else this.#late.set(id, left - 1)
    return undefined
  }
}
