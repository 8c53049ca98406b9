import { backoff } from './backoff.ts'
import { type Clock, sleep } from './clock.ts'
import type { EtcdRegisterError } from './errors.ts'
import type { Connection } from './etcd/connection.ts'
import { KeepAlive, type Lease, type Term } from './keepalive.ts'
import type { Logger, LossReason, RegistryStatus } from './types.ts'

type LeaseState = 'idle' | 'granting' | 'held' | 'lost'

const TRANSITIONS: Readonly<Record<LeaseState, readonly LeaseState[]>> = {
  idle: ['granting'],
  granting: ['held', 'idle'],
  held: ['lost', 'idle'],
  lost: ['held', 'idle'],
}

/** Whoever has keys under the lease. */
export interface LeaseUser {
  held(lease: Lease): void
  lost(reason: LossReason): void
  renewed(lease: Lease): void
  failed(error: EtcdRegisterError): void
}

/** As etcdctl shows and takes it. */
export function etcdctlId(id: string): string {
  return BigInt(id).toString(16)
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
  readonly #users = new Set<LeaseUser>()
  readonly #ids = new Set<string>()
  #state: LeaseState = 'idle'
  #term: Term | undefined
  #running: AbortController | undefined
  #keepAlive: KeepAlive | undefined
  #losses = 0

  constructor(options: LeaseOptions) {
    this.#options = options
  }

  get current(): Lease | undefined {
    return this.#state === 'held' ? this.#term : undefined
  }

  /** Whether a lease is, or was, ours. */
  owns(id: string): boolean {
    return this.#ids.has(id)
  }

  acquire(user: LeaseUser): void {
    this.#users.add(user)
    if (this.#running !== undefined) return
    this.#running = new AbortController()
    void this.#run(this.#running.signal)
  }

  /** With the last user the lease is revoked; resolves when it is, rejects if etcd could not be told. */
  async release(user: LeaseUser): Promise<void> {
    this.#users.delete(user)
    if (this.#users.size > 0 || this.#running === undefined) return
    this.#running.abort()
    this.#running = undefined
    const { current } = this
    this.#transit('idle')
    if (current !== undefined) await this.#options.connection.revoke(current.id)
  }

  get used(): boolean {
    return this.#users.size > 0
  }

  usedBesides(user: LeaseUser | undefined): boolean {
    return [...this.#users].some(other => other !== user)
  }

  /** etcd says that there is no such lease. */
  invalidate(id: string): void {
    if (this.current?.id === id) this.#keepAlive?.end('lease-revoked')
  }

  status(): RegistryStatus['lease'] {
    const term = this.#state === 'held' ? this.#term : undefined
    const now = this.#options.clock.now()
    return {
      state: this.#state,
      id: term && etcdctlId(term.id),
      ttl: term?.ttl,
      expiresIn: term && Math.round(term.expiresAt - now),
      lastAckAge: term && Math.round(now - term.ackedAt),
      losses: this.#losses,
    }
  }

  async #run(signal: AbortSignal): Promise<void> {
    const { connection, clock, logger, ttl } = this.#options
    this.#transit('granting')
    for (let attempt = 0; !signal.aborted; attempt += 1) {
      try {
        const { sentAt, ...granted } = await connection.grant(ttl)
        const term = { id: granted.ID, ttl: Number(granted.TTL), ackedAt: sentAt, expiresAt: 0 }
        term.expiresAt = sentAt + term.ttl * 1000
        if (signal.aborted) return void connection.revoke(term.id).catch(() => {})
        attempt = -1
        this.#ids.add(term.id)
        this.#term = term
        this.#transit('held')
        for (const user of this.#users) user.held(term)
        const renewed = () => {
          for (const user of this.#users) user.renewed(term)
        }
        this.#keepAlive = new KeepAlive(term, { connection, clock, renewed }, signal)
        const reason = await this.#keepAlive.over
        if (reason === 'released') return
        this.#losses += 1
        this.#transit('lost')
        const lease = etcdctlId(term.id)
        logger.warn({ lease, reason }, `lost the lease ${lease} (${reason}); registering again`)
        for (const user of this.#users) user.lost(reason)
      } catch (error) {
        for (const user of this.#users) user.failed(error as EtcdRegisterError)
      }
      if (attempt >= 0) await sleep(clock, backoff(attempt, clock), signal)
      await connection.whenUp(signal)
    }
  }

  #transit(state: LeaseState): void {
    if (!TRANSITIONS[this.#state].includes(state)) return
    this.#state = state
  }
}
