import type { Connection, EtcdStream } from '../client/connection.ts'
import type { Clock } from '../support/clock.ts'
import type { EtcdRegisterError } from '../support/errors.ts'

/** How long an acknowledgement may take before another member is asked, in ms; not longer than the period. */
const ACK_TIMEOUT = 2000

/**
 * etcd's grpc-proxy acknowledges when it renews a lease itself, each third of the TTL and on a tick of 500 ms, so each
 * acknowledgement can be later than the one before by so much, up to that third and a second. In ms.
 */
const PROXY_DELAY = 750
const MAX_PROXY_DELAY = 1000

/** A proxy acknowledges also what we did not ask for, but not so often in a row. */
const MAX_UNREQUESTED = 100

/** A timer this late says that the event loop was blocked, not that etcd was silent. In ms. */
const BLOCKED_LOOP = 250

/** Why a lease was lost. */
export type LeaseLossReason = 'lease-expired' | 'lease-revoked'

export interface Lease {
  readonly id: string
  /** Seconds, as granted. */
  readonly ttl: number
}

/** As it is held. */
export interface HeldLease extends Lease {
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
  readonly done: Promise<LeaseLossReason | 'released'>
  /** How the last renewal failed, if it did. */
  failure: EtcdRegisterError | undefined
  readonly #term: HeldLease
  readonly #deps: KeepAliveDeps
  readonly #period: number
  readonly #ending = new AbortController()
  #resolve!: (reason: LeaseLossReason | 'released') => void
  #stream: EtcdStream<{ ID: string }> | undefined
  /** Streams opened since one was acknowledged twice: those that die after their first answer are no success. */
  #opened = 0
  #acks = 0
  /** Acknowledgements in a row that were not asked for. */
  #unasked = 0
  /** When those were sent that are not acknowledged yet, in order: a proxy acknowledges several at once. */
  #sent: number[] = []
  /** How long the last acknowledgement on this stream took, in ms. */
  #delay = 0
  #stopSend: () => void
  #stopPatience = () => {}
  #stopExpiry = () => {}

  constructor(term: HeldLease, deps: KeepAliveDeps, signal: AbortSignal) {
    const { clock } = deps
    this.#term = term
    this.#deps = deps
    this.#period = (term.ttl * 1000) / 3
    this.done = new Promise(resolve => {
      this.#resolve = resolve
    })
    signal.addEventListener('abort', () => this.end('released'), { signal: this.#ending.signal })
    this.#watchExpiry()
    // A random phase, so that a fleet that was granted together does not renew together.
    this.#stopSend = clock.after(clock.random() * this.#period, () => void this.#open())
  }

  end(reason: LeaseLossReason | 'released'): void {
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
    const { connection } = this.#deps
    const { signal } = this.#ending
    for (; !signal.aborted; this.#opened += 1) {
      await connection.pause(this.#opened - 1, signal)
      try {
        const stream = await connection.openKeepAlive({
          onData: ({ ID, TTL }) => this.#received(ID, Number(TTL)),
          onClose: error => {
            this.failure = error
            this.#reopen(false)
          },
        })
        if (signal.aborted) return stream.cancel()
        this.#opened += 1
        this.#acks = 0
        this.#unasked = 0
        this.#delay = 0
        this.#sent = []
        this.#stream = stream
        return this.#send()
      } catch (error) {
        // The next turn waits a little longer.
        this.failure = error as EtcdRegisterError
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
    const now = clock.now()
    this.#sent.push(now)
    this.#stream?.write({ ID: this.#term.id })
    this.#stopSend = clock.after(this.#period, () => this.#send())
    if (this.#sent.length === 1) this.#awaitAck(now + this.#patience())
  }

  #patience(): number {
    const usual = Math.min(this.#period, ACK_TIMEOUT)
    return Math.min(Math.max(usual, this.#delay + PROXY_DELAY), this.#period + MAX_PROXY_DELAY)
  }

  #awaitAck(due: number): void {
    const { clock } = this.#deps
    this.#stopPatience = clock.after(due - clock.now(), () => {
      if (clock.now() > due + BLOCKED_LOOP) this.#awaitAck(clock.now() + BLOCKED_LOOP)
      else this.#reopen(true)
    })
  }

  #received(id: string, ttl: number): void {
    const sentAt = this.#sent[0]
    if (id !== this.#term.id) this.#distrust('it renewed another lease')
    else if (ttl <= 0) this.end('lease-revoked')
    else if (sentAt !== undefined) this.#acknowledged(sentAt, ttl)
    else if (this.#unasked < MAX_UNREQUESTED) this.#unasked += 1
    else this.#distrust('it renewed a lease without being asked')
  }

  #distrust(why: string): void {
    this.#stream?.distrust(why)
    this.#reopen(true)
  }

  #acknowledged(sentAt: number, ttl: number): void {
    const { clock, connection, renewed } = this.#deps
    this.#stopPatience()
    this.#sent.shift()
    const [oldest] = this.#sent
    this.#delay = clock.now() - sentAt
    this.#acks += 1
    this.#unasked = 0
    this.failure = undefined
    if (this.#acks > 1) this.#opened = 0
    this.#term.ackedAt = sentAt
    // No longer than it was granted for.
    this.#term.expiresAt = sentAt + Math.min(ttl, this.#term.ttl) * 1000
    connection.leaseEnds(this.#term.expiresAt)
    if (oldest !== undefined) this.#awaitAck(oldest + this.#patience())
    renewed()
  }
}
