import { randomBytes } from 'node:crypto'
import type { Connection } from '../client/connection.ts'
import type { Clock } from '../support/clock.ts'
import type { EtcdRegisterError } from '../support/errors.ts'
import type { HeldLease, LeaseLossReason } from './renewal.ts'
import type { KeptLease, Renewals } from './renewals.ts'

/** How the lease of a session stands; times in ms. */
export interface LeaseStatus {
  state: SessionState
  /** In hexadecimal, as etcdctl has it. */
  id: string | undefined
  /** As granted. */
  ttl: number | undefined
  expiresIn: number | undefined
  lastAckAge: number | undefined
  /** Leases that were lost before this one. */
  losses: number
}

export type SessionState = 'granting' | 'held' | 'lost' | 'closed'

/** Grants without an answer that are revoked later; those before them end by themselves. */
const MOST_UNCERTAIN = 5

/** As etcdctl shows and takes it. */
export function etcdctlId(id: string): string {
  return BigInt(id).toString(16)
}

const LEASES: unique symbol = Symbol.for('etcd-register.leases')

/** Of all copies of this package in the process, the leases that are held. */
function leasesHere(): Set<string> {
  const shared = globalThis as { [LEASES]?: Set<string> }
  shared[LEASES] ??= new Set()
  return shared[LEASES]
}

/** Whether this process holds the lease. */
export function isOfThisProcess(lease: string): boolean {
  return leasesHere().has(lease)
}

export interface SessionDeps {
  connection: Connection
  clock: Clock
  renewals: Renewals
}

export interface SessionOptions {
  /** Seconds. */
  ttl: number
  /** What the first grant waits for, as `Connection.pause()` takes it; by default it does not wait. */
  attempt?: number | undefined
}

/** Hears what becomes of a session. */
export interface SessionListener {
  held(): void
  lost(reason: LeaseLossReason): void
  renewed(): void
  /** A grant or a revocation failed; it is tried again. */
  failed(error: EtcdRegisterError): void
}

/** The life of one lease: granted as soon as etcd does it, and renewed until it is lost or closed. A lost one stays lost. */
export class Session {
  readonly #deps: SessionDeps
  readonly #options: SessionOptions
  readonly #listener: SessionListener
  readonly #closing = new AbortController()
  /** Leases of grants whose answer did not come: etcd may have them. */
  readonly #uncertain = new Set<string>()
  #lease: HeldLease | undefined
  #kept: KeptLease | undefined
  #state: SessionState = 'granting'
  /** etcd has said that there is no such lease. */
  #isRevoked = false
  #closed: Promise<void> | undefined
  /** Whether it was renewed at least once. */
  renewed = false

  constructor(deps: SessionDeps, options: SessionOptions, listener: SessionListener) {
    this.#deps = deps
    this.#options = options
    this.#listener = listener
  }

  /** Computed when it is read: also after the process was stopped, it is `held` only while etcd cannot have ended the lease. */
  get state(): SessionState {
    const isOver = this.#state === 'held' && this.#deps.clock.now() >= this.#lease!.expiresAt
    return isOver ? 'lost' : this.#state
  }

  /** Once it was granted. */
  get id(): string | undefined {
    return this.#lease?.id
  }

  /** While it is held. */
  get lease(): HeldLease | undefined {
    return this.state === 'held' ? this.#lease : undefined
  }

  /** How the last renewal failed, if it did. */
  get failure(): EtcdRegisterError | undefined {
    return this.#kept?.failure
  }

  /** Begins to ask for a lease. */
  async start(): Promise<void> {
    const { connection } = this.#deps
    const { signal } = this.#closing
    for (let { attempt } = this.#options; ; attempt = (attempt ?? -1) + 1) {
      if (attempt !== undefined) await connection.pause(attempt, signal)
      if (signal.aborted) return
      try {
        return this.#hold(await this.#grant())
      } catch (error) {
        const failure = error as EtcdRegisterError
        if (signal.aborted || failure.code === 'ERR_CLOSED') return
        this.#listener.failed(failure)
      }
    }
  }

  /** etcd says that there is no such lease. */
  invalidate(): void {
    if (this.#state !== 'held') return
    this.#kept?.stop()
    this.#lose('lease-revoked')
  }

  /** Stops renewing; the keys go when etcd ends the lease. */
  orphan(): void {
    this.#end()
  }

  /**
   * Revokes the lease, tried again until etcd has done it: its keys are gone when it resolves. Rejects with `ERR_CLOSED` if
   * the connection is closed before.
   */
  close(): Promise<void> {
    this.#closed ??= this.#close()
    return this.#closed
  }

  /** `losses`: of sessions before this one. */
  status(losses: number): LeaseStatus {
    const { state, lease } = this
    const now = this.#deps.clock.now()
    return {
      state: state === 'granting' && losses > 0 ? 'lost' : state,
      id: lease && etcdctlId(lease.id),
      ttl: lease && lease.ttl * 1000,
      expiresIn: lease && Math.round(lease.expiresAt - now),
      lastAckAge: lease && Math.round(now - lease.ackedAt),
      losses,
    }
  }

  /** An id of ours: should the answer not come, the lease can be revoked all the same. */
  async #grant(): Promise<HeldLease> {
    const id = newLeaseId()
    this.#uncertain.add(id)
    const [oldest] = this.#uncertain
    if (this.#uncertain.size > MOST_UNCERTAIN) this.#uncertain.delete(oldest!)
    const { sentAt, ttl } = await this.#deps.connection.grant(this.#options.ttl, id)
    this.#uncertain.delete(id)
    return { id, ttl, ackedAt: sentAt, expiresAt: sentAt + ttl * 1000 }
  }

  #hold(lease: HeldLease): void {
    const { connection, renewals } = this.#deps
    this.#revokeUncertain()
    if (this.#closing.signal.aborted) return void connection.revoke(lease.id).catch(() => {})
    connection.leaseEnds(lease.expiresAt)
    this.#lease = lease
    this.#state = 'held'
    leasesHere().add(lease.id)
    this.#kept = renewals.keep(lease, {
      renewed: () => {
        this.renewed = true
        this.#listener.renewed()
      },
      lost: reason => this.#lose(reason),
    })
    this.#listener.held()
  }

  #lose(reason: LeaseLossReason): void {
    this.#state = 'lost'
    this.#isRevoked = reason === 'lease-revoked'
    leasesHere().delete(this.#lease!.id)
    this.#listener.lost(reason)
  }

  async #close(): Promise<void> {
    // One that is over by our clock etcd may have still.
    const id = this.#isRevoked ? undefined : this.#lease?.id
    this.#end()
    this.#revokeUncertain()
    if (id === undefined) return
    const { connection } = this.#deps
    const never = new AbortController().signal
    // Also when its time is over: an etcd that starts again gives each lease its whole time again.
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await connection.revoke(id)
      } catch (error) {
        const failure = error as EtcdRegisterError
        if (failure.code === 'ERR_CLOSED') throw failure
        this.#listener.failed(failure)
        await connection.pause(attempt, never)
      }
    }
  }

  #end(): void {
    this.#closing.abort()
    this.#kept?.stop()
    if (this.#lease !== undefined) leasesHere().delete(this.#lease.id)
    if (this.#state !== 'lost') this.#state = 'closed'
  }

  /** One try for each: a lease that etcd is not told of expires by itself. */
  #revokeUncertain(): void {
    for (const id of this.#uncertain) void this.#deps.connection.revoke(id).catch(() => {})
    this.#uncertain.clear()
  }
}

/** A positive number of 63 random bits, as etcd's own ids are. */
function newLeaseId(): string {
  const id = randomBytes(8).readBigUInt64BE() & 0x7fff_ffff_ffff_ffffn
  return String(id === 0n ? 1n : id)
}
