import { backoff } from './backoff.ts'
import { type Clock, sleep } from './clock.ts'
import type { EtcdRegisterError } from './errors.ts'
import type { Connection, EtcdStream } from './etcd/connection.ts'
import type { Logger, LossReason, RegistryStatus } from './types.ts'

/** How long an acknowledgement may take before another member is asked, in ms; never longer than the period. */
const PATIENCE = 2000

/** A timer this late says that the event loop was blocked, not that etcd was silent. In ms. */
const LATE = 250

type LeaseState = 'idle' | 'granting' | 'held' | 'lost'

const TRANSITIONS: Readonly<Record<LeaseState, readonly LeaseState[]>> = {
  idle: ['granting'],
  granting: ['held', 'idle'],
  held: ['lost', 'idle'],
  lost: ['held', 'idle'],
}

export interface Lease {
  readonly id: string
  /** Seconds, as granted. */
  readonly ttl: number
}

/** Whoever has keys under the lease. */
export interface LeaseUser {
  held(lease: Lease): void
  lost(reason: LossReason): void
  renewed(lease: Lease): void
  failed(error: EtcdRegisterError): void
}

interface Term extends Lease {
  /** By our monotonic clock: send time of the last acknowledged keepalive, and that plus the TTL. */
  ackedAt: number
  expiresAt: number
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
  /** Ends the present term. */
  #end: ((reason: LossReason) => void) | undefined
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

  get users(): number {
    return this.#users.size
  }

  /** etcd says that there is no such lease. */
  invalidate(id: string): void {
    if (this.current?.id === id) this.#end?.('lease-revoked')
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
        const reason = await this.#keep(term, signal)
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

  /** Renews each third of the TTL until the lease is lost or released. */
  #keep(term: Term, signal: AbortSignal): Promise<LossReason | 'released'> {
    const { connection, clock } = this.#options
    const period = (term.ttl * 1000) / 3
    const patience = Math.min(period, PATIENCE)
    const over = new AbortController()
    let stream: EtcdStream<{ ID: string }> | undefined
    /** Streams opened since one was acknowledged twice: those that die after their first answer are no success. */
    let opened = 0
    let acks = 0
    let sentAt = 0
    let stopSend = () => {}
    let stopPatience = () => {}
    let stopExpiry = () => {}

    return new Promise(resolve => {
      const finish = (reason: LossReason | 'released') => {
        over.abort()
        stopSend()
        stopPatience()
        stopExpiry()
        stream?.cancel()
        signal.removeEventListener('abort', release)
        this.#end = undefined
        resolve(reason)
      }
      const release = () => finish('released')
      const watchExpiry = () => {
        stopExpiry = clock.after(term.expiresAt - clock.now(), () => {
          if (clock.now() >= term.expiresAt) finish('lease-expired')
          else watchExpiry()
        })
      }
      const open = async () => {
        for (; !over.signal.aborted; opened += 1) {
          if (opened > 0) await sleep(clock, backoff(opened - 1, clock), over.signal)
          await connection.whenUp(over.signal)
          try {
            const next = await connection.openKeepAlive({
              onData: ({ TTL }) => acknowledged(Number(TTL)),
              onClose: () => reopen(false),
            })
            if (over.signal.aborted) return next.cancel()
            opened += 1
            acks = 0
            stream = next
            return send()
          } catch {
            // The next turn waits a little longer.
          }
        }
      }
      const reopen = (failed: boolean) => {
        stopSend()
        stopPatience()
        stream?.cancel(failed)
        stream = undefined
        void open()
      }
      const send = () => {
        if (clock.now() >= term.expiresAt) return finish('lease-expired')
        sentAt = clock.now()
        stream?.write({ ID: term.id })
        awaitAck(clock.now() + patience)
      }
      const awaitAck = (due: number) => {
        stopPatience = clock.after(due - clock.now(), () => {
          if (clock.now() > due + LATE) awaitAck(clock.now() + LATE)
          else reopen(true)
        })
      }
      const acknowledged = (ttl: number) => {
        stopPatience()
        if (ttl <= 0) return finish('lease-revoked')
        acks += 1
        if (acks > 1) opened = 0
        term.ackedAt = sentAt
        term.expiresAt = sentAt + ttl * 1000
        stopSend()
        stopSend = clock.after(sentAt + period - clock.now(), send)
        for (const user of this.#users) user.renewed(term)
      }
      signal.addEventListener('abort', release)
      this.#end = finish
      watchExpiry()
      // A random phase, so that a fleet that was granted together does not renew together.
      stopSend = clock.after(clock.random() * period, () => void open())
    })
  }

  #transit(state: LeaseState): void {
    if (!TRANSITIONS[this.#state].includes(state)) return
    this.#state = state
  }
}
