import type { Connection } from '../client/connection.ts'
import type { Clock } from '../support/clock.ts'
import type { EtcdRegisterError } from '../support/errors.ts'
import { type HeldLease, Renewal, type RenewalListener } from './renewal.ts'
import { type Renewable, RenewalStream } from './renewal-stream.ts'

export interface LeaseListener extends RenewalListener {
  /** etcd refuses to renew it, which is tried on. */
  refused(error: EtcdRegisterError): void
}

/** A lease that is kept alive. */
export interface KeptLease {
  /** How the last renewal failed, if it did. */
  readonly failure: EtcdRegisterError | undefined
  stop(): void
}

/**
 * Keeps all leases of a connection alive over one stream. From 3.5.28 on etcd ends the whole stream for a lease that it may
 * not renew: that one is set apart, on a stream of its own, so that the others lose nothing.
 */
export class Renewals {
  readonly #connection: Connection
  readonly #clock: Clock
  readonly #kept = new Map<Renewable, LeaseListener>()
  readonly #shared: RenewalStream
  /** etcd answers in order, so that the first request without an answer is the one it refused. Its grpc-proxy does not. */
  #inOrder = true

  constructor(connection: Connection, clock: Clock) {
    this.#connection = connection
    this.#clock = clock
    this.#shared = new RenewalStream({
      connection,
      clock,
      refused: leases => {
        for (const lease of this.#inOrder ? leases.slice(0, 1) : leases) this.#setApart(lease as Renewal)
      },
    })
  }

  keep(lease: HeldLease, listener: LeaseListener): KeptLease {
    const deps = { connection: this.#connection, clock: this.#clock }
    const renewal = new Renewal(lease, this.#shared, deps, {
      renewed: () => {
        if (renewal.stream !== this.#shared) this.#takeBack(renewal)
        listener.renewed()
      },
      lost: reason => {
        this.#kept.delete(renewal)
        listener.lost(reason)
      },
    })
    this.#kept.set(renewal, listener)
    return {
      get failure() {
        return renewal.stream.failure
      },
      stop: () => {
        this.#kept.delete(renewal)
        renewal.stop()
      },
    }
  }

  #setApart(renewal: Renewal): void {
    const refused = (_: Renewable[], error: EtcdRegisterError) => this.#kept.get(renewal)?.refused(error)
    renewal.moveTo(new RenewalStream({ connection: this.#connection, clock: this.#clock, refused }))
  }

  #takeBack(renewal: Renewal): void {
    if (renewal.stream.refusals === 0) this.#inOrder = false
    renewal.moveTo(this.#shared)
  }
}
