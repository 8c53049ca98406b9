import type { HeldLease, LeaseLossReason } from '../etcd/lease/renewal.ts'
import { etcdctlId, type LeaseStatus, Session, type SessionDeps } from '../etcd/lease/session.ts'
import type { EtcdRegisterError } from '../etcd/support/errors.ts'
import type { LeaseWarnings } from './lease-warnings.ts'

export interface SessionKeeperDeps extends SessionDeps {
  /** Seconds. */
  ttl: number
  warnings: LeaseWarnings
}

export interface SessionKeeperListener {
  held(): void
  lost(reason: LeaseLossReason): void
  renewed(lease: HeldLease): void
  failed(error: EtcdRegisterError): void
}

/** The session of one registration, and after each loss the next one. */
export class SessionKeeper {
  readonly #deps: SessionKeeperDeps
  readonly #listener: SessionKeeperListener
  #session: Session
  #losses = 0
  #ended = false
  /** Whether the session before this one was renewed: one that was lost before that is no reason for haste. */
  #wasRenewed = true
  #attempt: number | undefined

  constructor(deps: SessionKeeperDeps, listener: SessionKeeperListener) {
    this.#deps = deps
    this.#listener = listener
    this.#session = this.#next()
  }

  get current(): HeldLease | undefined {
    return this.#session.lease
  }

  start(): void {
    this.#deps.warnings.begins(this)
    void this.#session.start()
  }

  /** The keys are under the lease: `name` is told. Without a name the registration warns itself of what is wrong. */
  settled(name?: string): void {
    this.#deps.warnings.ends(this, name)
  }

  /** After a loss no other session begins. */
  leave(): void {
    this.#ended = true
    this.settled()
  }

  /** The keys are gone when it resolves. Rejects with `ERR_CLOSED`. */
  end(): Promise<void> {
    this.leave()
    return this.#session.close()
  }

  /** etcd says that there is no such lease. */
  invalidate(id: string): void {
    if (this.current?.id === id) this.#session.invalidate()
  }

  status(): LeaseStatus {
    return this.#session.status(this.#losses)
  }

  #next(): Session {
    const { ttl, warnings } = this.#deps
    const session: Session = new Session(
      this.#deps,
      { ttl, attempt: this.#attempt },
      {
        held: () => this.#listener.held(),
        renewed: () => {
          if (session.lease !== undefined) this.#listener.renewed(session.lease)
        },
        failed: error => {
          if (!this.#ended) warnings.failed(this, error)
          this.#listener.failed(error)
        },
        lost: reason => this.#lost(session, reason),
      },
    )
    return session
  }

  #lost(session: Session, reason: LeaseLossReason): void {
    if (this.#ended) return
    this.#losses += 1
    this.#deps.warnings.lost(this, reason, etcdctlId(session.id!), session.failure)
    this.#attempt = session.renewed || this.#wasRenewed ? -1 : (this.#attempt ?? -1) + 1
    this.#wasRenewed = session.renewed
    this.#session = this.#next()
    this.#listener.lost(reason)
    void this.#session.start()
  }
}
