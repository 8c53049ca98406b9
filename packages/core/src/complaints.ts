import type { KeyValue } from './etcd/key-value.ts'
import type { PlacedFormat } from './formats/index.ts'
import { readEntry } from './formats/read-entry.ts'
import type { Logger } from './types.ts'

/** With more bad values than that at a time, a line for each says nothing more. */
const MOST = 100

/** Of a value that is none of an instance; nothing to warn of where another format reads it. */
export interface Complaint {
  reason: string
  level: 'debug' | 'warn'
}

export interface ComplaintsOptions {
  /** Of the service. */
  name: string
  placed: PlacedFormat
  /** Formats that are read in the same range: what is bad for this one may be good for them. */
  others: readonly PlacedFormat[]
  /** Whether one of these ranks before this one, and complains of what is bad for all. */
  quiet: boolean
  logger: Logger
}

/** A line for each key whose value is none of an instance, and not again until it was good or gone. */
export class Complaints {
  readonly #options: ComplaintsOptions
  readonly #keys = new Set<string>()

  constructor(options: ComplaintsOptions) {
    this.#options = options
  }

  /** Keys that are complained of. */
  get size(): number {
    return this.#keys.size
  }

  of(entry: KeyValue, reason: string): Complaint {
    const { name, others, quiet } = this.#options
    const good = quiet || others.some(placed => !('skip' in readEntry(placed, name, entry)))
    return { reason, level: good ? 'debug' : 'warn' }
  }

  make(key: string, { reason, level }: Complaint): void {
    if (this.#keys.has(key)) return
    this.#keys.add(key)
    const { logger, name, placed } = this.#options
    if (level === 'debug') {
      logger.debug({ key, service: name, reason }, `no instance of "${placed.format.name}": ${reason}`)
      return
    }
    if (this.#keys.size === MOST) {
      logger.warn({ service: name }, `skipped ${MOST} values of "${name}"; status() counts the rest`)
    }
    if (this.#keys.size >= MOST) return
    logger.warn(
      { key, service: name, reason },
      `skipped the value at ${JSON.stringify(key)}, no instance: ${reason}`,
    )
  }

  /** These, and no others. */
  replace(complaints: ReadonlyMap<string, Complaint>): void {
    for (const key of this.#keys) if (!complaints.has(key)) this.#keys.delete(key)
    for (const [key, complaint] of complaints) this.make(key, complaint)
  }

  forget(key: string): void {
    this.#keys.delete(key)
  }
}
