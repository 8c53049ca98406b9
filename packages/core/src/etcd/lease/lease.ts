import type { Connection } from '../client/connection.ts'
import { AWAY, READ_ONLY } from '../client/health.ts'
import type { Clock } from '../support/clock.ts'
import type { EtcdRegisterError } from '../support/errors.ts'
import type { Logger } from '../support/logger.ts'
import { errorFields } from '../support/logger.ts'
import { WarnOnce } from '../support/warn-once.ts'
import { type HeldLease, KeepAlive, type Lease, type LeaseLossReason } from './keepalive.ts'

/** The lease that the keys of an instance are under; times in ms. */
export interface LeaseStatus {
  state: 'idle' | 'granting' | 'held' | 'lost'
  /** In hexadecimal, as etcdctl has it. */
  id: string | undefined
  /** As granted. */
  ttl: number | undefined
  expiresIn: number | undefined
  lastAckAge: number | undefined
  /** Times that a held lease was lost. */
  losses: number
}

/** Names of registrations in one line. */
const MOST_NAMES = 5

type LeaseState = 'idle' | 'granting' | 'held' | 'lost'

const TRANSITIONS: Readonly<Record<LeaseState, readonly LeaseState[]>> = {
  idle: ['granting'],
  granting: ['held', 'idle'],
  held: ['lost', 'idle'],
  lost: ['held', 'idle'],
}

/** Whoever has keys under the lease. */
export interface LeaseListener {
  held(lease: Lease): void
  lost(reason: LeaseLossReason): void
  renewed(lease: Lease): void
  failed(error: EtcdRegisterError): void
}

/** As etcdctl shows and takes it. */
export function etcdctlId(id: string): string {
  return BigInt(id).toString(16)
}

const KEEPERS: unique symbol = Symbol.for('etcd-register.lease-keepers')

/** Of all copies of this package in the process, those that are in use. */
function keepers(): Set<Pick<LeaseKeeper, 'owns'>> {
  const shared = globalThis as { [KEEPERS]?: Set<Pick<LeaseKeeper, 'owns'>> }
  shared[KEEPERS] ??= new Set()
  return shared[KEEPERS]
}

/** Whether a registry of this process has the lease. */
export function isOfThisProcess(lease: string): boolean {
  return [...keepers()].some(keeper => keeper.owns(lease))
}

export interface LeaseOptions {
  connection: Connection
  clock: Clock
  logger: Logger
  ttl: number
}

/**
 * One lease for all users of a registry, from the first to the last: granted, kept alive over one stream, and granted
 * anew for ever when it is lost. Our own clock decides when that is.
 */
export class LeaseKeeper {
  readonly #options: LeaseOptions
  readonly #users = new Set<LeaseListener>()
  readonly #ids = new Set<string>()
  /** Those whose keys are not under the lease, or not seen to be. */
  readonly #missing = new Set<LeaseListener>()
  /** Of those that were missing: what they call themselves. */
  #back: string[] = []
  readonly #lost: WarnOnce
  #state: LeaseState = 'idle'
  #term: HeldLease | undefined
  #running: AbortController | undefined
  #keepAlive: KeepAlive | undefined
  #losses = 0

  constructor(options: LeaseOptions) {
    this.#options = options
    this.#lost = new WarnOnce(options.clock, options.logger)
  }

  get current(): Lease | undefined {
    return this.#state === 'held' ? this.#term : undefined
  }

  /** Whether a lease is, or was, ours. */
  owns(id: string): boolean {
    return this.#ids.has(id)
  }

  acquire(user: LeaseListener): void {
    this.#users.add(user)
    this.#missing.add(user)
    if (this.#running !== undefined) return
    this.#running = new AbortController()
    keepers().add(this)
    void this.#run(this.#running.signal)
  }

  /** With the last user the lease is revoked; resolves with whether it is, rejects if etcd could not be told. */
  async release(user: LeaseListener): Promise<boolean> {
    this.#users.delete(user)
    this.settled(user)
    if (this.#users.size > 0 || this.#running === undefined) return false
    this.#lost.close()
    this.#running.abort()
    this.#running = undefined
    keepers().delete(this)
    const { current } = this
    this.#transit('idle')
    if (current === undefined) return false
    await this.#options.connection.revoke(current.id)
    return true
  }

  /** A user has its keys under the lease, with its name, or has said itself why it has not. */
  settled(user: LeaseListener, name?: string): void {
    if (!this.#missing.delete(user)) return
    if (name !== undefined) this.#back.push(name)
    if (this.#missing.size > 0) return
    const names = this.#back.splice(0).sort()
    const more = names.length > MOST_NAMES ? ` and ${names.length - MOST_NAMES} more` : ''
    const line = () => ({
      fields: { services: names },
      message: `registered: ${names.slice(0, MOST_NAMES).join(', ')}${more}`,
    })
    this.#lost.ends(names.length > 0 ? line : undefined)
  }

  get used(): boolean {
    return this.#users.size > 0
  }

  usedBesides(user: LeaseListener | undefined): boolean {
    return [...this.#users].some(other => other !== user)
  }

  /** etcd says that there is no such lease. */
  invalidate(id: string): void {
    if (this.current?.id === id) this.#keepAlive?.end('lease-revoked')
  }

  status(): LeaseStatus {
    const term = this.#state === 'held' ? this.#term : undefined
    const now = this.#options.clock.now()
    return {
      state: this.#state,
      id: term && etcdctlId(term.id),
      ttl: term && term.ttl * 1000,
      expiresIn: term && Math.round(term.expiresAt - now),
      lastAckAge: term && Math.round(now - term.ackedAt),
      losses: this.#losses,
    }
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { connection, clock, ttl } = this.#options
    this.#transit('granting')
    let kept = true
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      try {
        const { sentAt, ...granted } = await connection.grant(ttl)
        const term = { id: granted.ID, ttl: Number(granted.TTL), ackedAt: sentAt, expiresAt: 0 }
        term.expiresAt = sentAt + term.ttl * 1000
        connection.leaseEnds(term.expiresAt)
        if (signal.aborted) return void connection.revoke(term.id).catch(() => {})
        this.#ids.add(term.id)
        this.#term = term
        this.#transit('held')
        for (const user of this.#users) user.held(term)
        // One that was lost before it was renewed once is no reason for haste.
        const wasKept = kept
        kept = false
        const renewed = () => {
          kept = true
          for (const user of this.#users) user.renewed(term)
        }
        this.#keepAlive = new KeepAlive(term, { connection, clock, renewed }, signal)
        const reason = await this.#keepAlive.done
        if (reason === 'released') return
        this.#losses += 1
        this.#transit('lost')
        const lease = etcdctlId(term.id)
        const { failure } = this.#keepAlive
        const why = failure === undefined ? '' : `. The last renewal failed: ${failure.message}`
        const message = `lost the lease ${lease} (${reason}); registering again${why}`
        this.#lost.begins(reason, { fields: { code: 'ERR_ETCD_LEASE_NOT_FOUND', lease, reason }, message })
        for (const user of this.#users) this.#missing.add(user)
        if (kept || wasKept) attempt = -1
        for (const user of this.#users) user.lost(reason)
      } catch (error) {
        const failure = error as EtcdRegisterError
        if (signal.aborted || failure.code === 'ERR_CLOSED') return
        this.#warnOf(failure)
        for (const user of this.#users) user.failed(failure)
      }
      await connection.pause(attempt, signal)
    }
  }

  /** Of an etcd that is away, or takes no writes, or sends nonsense, the connection warns. */
  #warnOf(error: EtcdRegisterError): void {
    const { code, message } = error
    if (AWAY.has(code) || READ_ONLY.has(code) || code === 'ERR_ETCD_ANSWER') this.#lost.begins('none')
    else this.#lost.begins(code, { fields: errorFields(error), message: `${message} Retrying.` })
  }

  #transit(state: LeaseState): void {
    if (!TRANSITIONS[this.#state].includes(state)) return
    this.#state = state
  }
}
