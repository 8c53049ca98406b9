import type { Connection } from '../client/connection.ts'
import type { Clock } from '../support/clock.ts'
import type { Renewable, RenewalStream } from './renewal-stream.ts'

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

/** A lease as it is held; times by our monotonic clock. */
export interface HeldLease {
  readonly id: string
  /** Seconds, as granted. */
  readonly ttl: number
  /** When the last acknowledged request was sent, and that plus the TTL. */
  ackedAt: number
  expiresAt: number
}

/** Why a lease was lost. */
export type LeaseLossReason = 'lease-expired' | 'lease-revoked'

export interface RenewalListener {
  renewed(): void
  lost(reason: LeaseLossReason): void
}

export interface RenewalDeps {
  connection: Pick<Connection, 'leaseEnds'>
  clock: Clock
}

/** Renews one lease each third of its TTL, over the stream that it is given, until it is lost or stopped. */
export class Renewal implements Renewable {
  readonly unanswered: number[] = []
  readonly #lease: HeldLease
  readonly #deps: RenewalDeps
  readonly #listener: RenewalListener
  readonly #period: number
  #stream: RenewalStream<Renewal>
  /** On this stream: acknowledgements, those in a row that were not asked for, and how long the last one took, in ms. */
  #acks = 0
  #unrequested = 0
  #delay = 0
  #stopped = false
  #stopSend: () => void
  #stopTimeout = () => {}
  #stopExpiry = () => {}

  constructor(
    lease: HeldLease,
    stream: RenewalStream<Renewal>,
    deps: RenewalDeps,
    listener: RenewalListener,
  ) {
    const { clock } = deps
    this.#lease = lease
    this.#stream = stream
    this.#deps = deps
    this.#listener = listener
    this.#period = (lease.ttl * 1000) / 3
    stream.add(this)
    this.#watchExpiry()
    // A random phase, so that a fleet that was granted together does not renew together.
    this.#stopSend = clock.after(clock.random() * this.#period, () => this.send())
  }

  get id(): string {
    return this.#lease.id
  }

  get stream(): RenewalStream<Renewal> {
    return this.#stream
  }

  /** Goes on over another stream. */
  moveTo(stream: RenewalStream<Renewal>): void {
    this.#stream.remove(this)
    this.#stream = stream
    stream.add(this)
    this.streamEnded()
    this.send()
  }

  stop(): void {
    this.#stopped = true
    this.#stopSend()
    this.#stopTimeout()
    this.#stopExpiry()
    this.#stream.remove(this)
  }

  streamEnded(): void {
    this.#stopSend()
    this.#stopTimeout()
    this.unanswered.length = 0
    this.#acks = 0
    this.#unrequested = 0
    this.#delay = 0
  }

  send(): void {
    if (this.#stopped) return
    const { clock } = this.#deps
    const now = clock.now()
    if (now >= this.#lease.expiresAt) {
      this.#lose('lease-expired')
      return
    }
    this.#stopSend()
    if (!this.#stream.write(this)) return
    this.unanswered.push(now)
    this.#stopSend = clock.after(this.#period, () => this.send())
    if (this.unanswered.length === 1) this.#awaitAck(now)
  }

  received(ttl: number): string | undefined {
    const sentAt = this.unanswered[0]
    if (ttl <= 0) this.#lose('lease-revoked')
    else if (sentAt !== undefined) this.#acknowledged(sentAt, ttl)
    else if (this.#unrequested < MAX_UNREQUESTED) this.#unrequested += 1
    else return 'it renewed a lease without being asked'
    return undefined
  }

  #lose(reason: LeaseLossReason): void {
    this.stop()
    this.#listener.lost(reason)
  }

  #watchExpiry(): void {
    const { clock } = this.#deps
    this.#stopExpiry = clock.after(this.#lease.expiresAt - clock.now(), () => {
      if (clock.now() >= this.#lease.expiresAt) this.#lose('lease-expired')
      else this.#watchExpiry()
    })
  }

  get #ackTimeout(): number {
    const usual = Math.min(this.#period, ACK_TIMEOUT)
    return Math.min(Math.max(usual, this.#delay + PROXY_DELAY), this.#period + MAX_PROXY_DELAY)
  }

  /** A stream that answers others is only slow, so that it has twice the time. */
  #awaitAck(sentAt: number, late = 0): void {
    const { clock } = this.#deps
    const timeout = this.#ackTimeout
    const due = sentAt + timeout + late
    this.#stopTimeout = clock.after(due - clock.now(), () => {
      const now = clock.now()
      if (now > due + BLOCKED_LOOP) this.#awaitAck(sentAt, now - sentAt - timeout + BLOCKED_LOOP)
      else if (late < timeout && this.#stream.heardAt > sentAt) this.#awaitAck(sentAt, timeout)
      else this.#stream.replace()
    })
  }

  #acknowledged(sentAt: number, ttl: number): void {
    const { clock, connection } = this.#deps
    const lease = this.#lease
    this.#stopTimeout()
    this.unanswered.shift()
    this.#delay = clock.now() - sentAt
    this.#acks += 1
    this.#unrequested = 0
    this.#stream.answered(this.#acks > 1)
    lease.ackedAt = sentAt
    // No longer than it was granted for.
    lease.expiresAt = sentAt + Math.min(ttl, lease.ttl) * 1000
    connection.leaseEnds(lease.expiresAt)
    const [oldest] = this.unanswered
    if (oldest !== undefined) this.#awaitAck(oldest)
    this.#listener.renewed()
  }
}
