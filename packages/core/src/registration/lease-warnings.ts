import { AWAY, READ_ONLY } from '../etcd/client/health.ts'
import type { Clock } from '../etcd/support/clock.ts'
import type { EtcdRegisterError } from '../etcd/support/errors.ts'
import { errorFields, type Logger } from '../etcd/support/logger.ts'
import { WarnOnce } from '../etcd/support/warn-once.ts'

/** Names of registrations in one line. */
const MOST_NAMES = 5

/** What a registry says of the leases of its registrations: they are mostly lost together, and come back together. */
export class LeaseWarnings {
  readonly #lost: WarnOnce
  /** Registrations whose keys are not under a lease, or not seen to be. */
  readonly #missing = new Set<object>()
  /** Those that were missing and are back, by name. */
  #back: string[] = []

  constructor(clock: Clock, logger: Logger) {
    this.#lost = new WarnOnce(clock, logger)
  }

  /** A registration is not in etcd yet. */
  begins(registration: object): void {
    this.#missing.add(registration)
  }

  /** A lease was lost. `failure`: of its last renewal. */
  lost(registration: object, reason: string, lease: string, failure: EtcdRegisterError | undefined): void {
    this.#missing.add(registration)
    const why = failure === undefined ? '' : `. The last renewal failed: ${failure.message}`
    const message = `lost the lease ${lease} (${reason}); registering again${why}`
    this.#lost.begins(reason, { fields: { code: 'ERR_ETCD_LEASE_NOT_FOUND', lease, reason }, message })
  }

  /** A grant failed. Of an etcd that is away, or takes no writes, or sends nonsense, the connection warns. */
  failed(registration: object, error: EtcdRegisterError): void {
    this.#missing.add(registration)
    const { code, message } = error
    if (AWAY.has(code) || READ_ONLY.has(code) || code === 'ERR_ETCD_ANSWER') this.#lost.begins('none')
    else this.#lost.begins(code, { fields: errorFields(error), message: `${message} Retrying.` })
  }

  /** The keys of a registration are under its lease: `name` is told. Without a name it has left, or warns itself. */
  ends(registration: object, name?: string): void {
    if (!this.#missing.delete(registration)) return
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
}
