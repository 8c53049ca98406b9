import type { Connection } from '../client/connection.ts'
import type { Clock } from '../support/clock.ts'
import type { EtcdRegisterError } from '../support/errors.ts'
import { type HeldLease, Renewal, type RenewalListener } from './renewal.ts'
import { RenewalStream } from './renewal-stream.ts'

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
  readonly #shared: RenewalStream<Renewal>
  /** etcd answers in order, so that the first request without an answer is the one it refused. Its grpc-proxy does not. */
  #inOrder = true

  constructor(connection: Connection, clock: Clock) {
    this.#connection = connection
    this.#clock = clock
    this.#shared = this.#aStream(refused => {
      for (const lease of this.#inOrder ? refused.slice(0, 1) : refused) lease.moveTo(this.#aStream(() => {}))
    })
  }

  keep(lease: HeldLease, { renewed, lost }: RenewalListener): KeptLease {
    const deps = { connection: this.#connection, clock: this.#clock }
    const renewal = new Renewal(lease, this.#shared, deps, {
      renewed: () => {
        if (renewal.stream !== this.#shared) this.#takeBack(renewal)
        renewed()
      },
      lost,
    })
    return {
      get failure() {
        return renewal.stream.failure
      },
      stop: () => renewal.stop(),
    }
  }

  #aStream(refused: (leases: Renewal[]) => void): RenewalStream<Renewal> {
    return new RenewalStream({ connection: this.#connection, clock: this.#clock, refused })
  }

  #takeBack(renewal: Renewal): void {
    if (renewal.stream.refusals === 0) this.#inOrder = false
    renewal.moveTo(this.#shared)
  }
}
