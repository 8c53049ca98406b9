import { backoff } from './backoff.ts'
import { type Clock, sleep } from './clock.ts'
import type { Connection, EtcdStream } from './etcd/connection.ts'
import type { LossReason } from './types.ts'

/** How long an acknowledgement may take before another member is asked, in ms; never longer than the period. */
const PATIENCE = 2000

/** A timer this late says that the event loop was blocked, not that etcd was silent. In ms. */
const LATE = 250

export interface Lease {
  readonly id: string
  /** Seconds, as granted. */
  readonly ttl: number
}

/** As it is held. */
export interface Term extends Lease {
  /** By our monotonic clock: send time of the last acknowledged keepalive, and that plus the TTL. */
  ackedAt: number
  expiresAt: number
}

export interface KeepAliveDeps {
  connection: Connection
  clock: Clock
  renewed(): void
}

/** Renews a lease each third of its TTL over one stream, until it is lost or `signal` aborts. */
export class KeepAlive {
  /** Why it ended. */
  readonly over: Promise<LossReason | 'released'>
  readonly #term: Term
  readonly #deps: KeepAliveDeps
  readonly #period: number
  readonly #patience: number
  readonly #ending = new AbortController()
  #resolve!: (reason: LossReason | 'released') => void
  #stream: EtcdStream<{ ID: string }> | undefined
  /** Streams opened since one was acknowledged twice: those that die after their first answer are no success. */
  #opened = 0
  #acks = 0
  #sentAt = 0
  #stopSend: () => void
  #stopPatience = () => {}
  #stopExpiry = () => {}

  constructor(term: Term, deps: KeepAliveDeps, signal: AbortSignal) {
    const { clock } = deps
    this.#term = term
    this.#deps = deps
    this.#period = (term.ttl * 1000) / 3
    this.#patience = Math.min(this.#period, PATIENCE)
    this.over = new Promise(resolve => {
      this.#resolve = resolve
    })
    signal.addEventListener('abort', () => this.end('released'), { signal: this.#ending.signal })
    this.#watchExpiry()
    // A random phase, so that a fleet that was granted together does not renew together.
    this.#stopSend = clock.after(clock.random() * this.#period, () => void this.#open())
  }

  end(reason: LossReason | 'released'): void {
    this.#ending.abort()
    this.#stopSend()
    this.#stopPatience()
    this.#stopExpiry()
    this.#stream?.cancel()
    this.#resolve(reason)
  }

  #watchExpiry(): void {
    const { clock } = this.#deps
    this.#stopExpiry = clock.after(this.#term.expiresAt - clock.now(), () => {
      if (clock.now() >= this.#term.expiresAt) this.end('lease-expired')
      else this.#watchExpiry()
    })
  }

  async #open(): Promise<void> {
    const { connection, clock } = this.#deps
    const { signal } = this.#ending
    for (; !signal.aborted; this.#opened += 1) {
      if (this.#opened > 0) await sleep(clock, backoff(this.#opened - 1, clock), signal)
      await connection.whenUp(signal)
      try {
        const stream = await connection.openKeepAlive({
          onData: ({ TTL }) => this.#acknowledged(Number(TTL)),
          onClose: () => this.#reopen(false),
        })
        if (signal.aborted) return stream.cancel()
        this.#opened += 1
        this.#acks = 0
        this.#stream = stream
        return this.#send()
      } catch {
        // The next turn waits a little longer.
      }
    }
  }

  #reopen(failed: boolean): void {
    this.#stopSend()
    this.#stopPatience()
    this.#stream?.cancel(failed)
    this.#stream = undefined
    void this.#open()
  }

  #send(): void {
    const { clock } = this.#deps
    if (clock.now() >= this.#term.expiresAt) {
      this.end('lease-expired')
      return
    }
    this.#sentAt = clock.now()
    this.#stream?.write({ ID: this.#term.id })
    this.#awaitAck(clock.now() + this.#patience)
  }

  #awaitAck(due: number): void {
    const { clock } = this.#deps
    this.#stopPatience = clock.after(due - clock.now(), () => {
      if (clock.now() > due + LATE) this.#awaitAck(clock.now() + LATE)
      else this.#reopen(true)
    })
  }

  #acknowledged(ttl: number): void {
    const { clock, renewed } = this.#deps
    this.#stopPatience()
    if (ttl <= 0) {
      this.end('lease-revoked')
      return
    }
    this.#acks += 1
    if (this.#acks > 1) this.#opened = 0
    this.#term.ackedAt = this.#sentAt
    this.#term.expiresAt = this.#sentAt + ttl * 1000
    this.#stopSend()
    this.#stopSend = clock.after(this.#sentAt + this.#period - clock.now(), () => this.#send())
    renewed()
  }
}
