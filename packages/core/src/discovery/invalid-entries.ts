import type { Clock } from '../etcd/support/clock.ts'
import type { Logger } from '../etcd/support/logger.ts'
import { quoted, shown } from '../etcd/support/text.ts'
import type { KeyValue } from '../etcd/wire/key-value.ts'
import type { ResolvedFormat } from '../formats/index.ts'
import { type ReadEntry, readEntry } from '../formats/read-entry.ts'
import type { Allow } from '../instance/instance.ts'
import type { LineLimit } from './line-limit.ts'

/** A key that was good, or gone, for a shorter time is not told of again. In ms. */
const GOOD = 60_000

/** Keys that are remembered as told of, at most. */
const MOST_KEPT = 1000

/** Of a key that is no instance, or not wholly. */
export interface InvalidEntry {
  reason: string
  /** `debug`: nothing to warn of, since another format reads it, or since it is not meant to be one. */
  level: 'debug' | 'warn'
  /** Whether it counts as skipped. */
  skipped: boolean
  /** Whether others of its instances are served. */
  partly: boolean
}

export interface InvalidEntriesOptions {
  /** Of the service. */
  name: string
  placed: ResolvedFormat
  allow: Allow | undefined
  /** Formats that are read in the same range: what is bad for this one may be good for them. */
  others: readonly ResolvedFormat[]
  /** Whether one of these ranks before this one, and complains of what is bad for all. */
  quiet: boolean
  /** Of all lines on values of this service, by their level. */
  limits: Readonly<Record<InvalidEntry['level'], LineLimit>>
  clock: Clock
  logger: Logger
}

/** A line for each key that is no instance, and not again until it was good or gone for a minute. */
export class InvalidEntries {
  readonly #options: InvalidEntriesOptions
  readonly #keys = new Map<string, InvalidEntry>()
  /** When keys that were told of became good or were deleted, the earliest first. */
  readonly #ended = new Map<string, number>()
  /** Keys that were warned of, and are as bad still. */
  readonly #told = new Set<string>()
  #skipped = 0

  constructor(options: InvalidEntriesOptions) {
    this.#options = options
  }

  /** Keys that were meant to be an instance and are none, or not wholly. */
  get skipped(): number {
    return this.#skipped
  }

  /** `undefined`: nothing is wrong. */
  of(entry: KeyValue, { found, skip }: ReadEntry): InvalidEntry | undefined {
    const partly = found !== undefined
    if (skip === undefined)
      return partly ? undefined : { reason: 'not meant to be one', level: 'debug', skipped: false, partly }
    const { name, others, quiet, allow } = this.#options
    const good = quiet || others.some(placed => readEntry(placed, name, entry, allow).skip === undefined)
    return { reason: skip, level: good ? 'debug' : 'warn', skipped: true, partly }
  }

  make(key: string, complaint: InvalidEntry): void {
    const known = this.#keys.get(key)
    this.#keys.set(key, complaint)
    this.#skipped += Number(complaint.skipped) - Number(known?.skipped ?? false)
    if (known === undefined && !this.#wasTold(key)) this.#tell(key, complaint)
  }

  /** These, and no others. */
  replace(complaints: ReadonlyMap<string, InvalidEntry>): void {
    for (const key of this.#keys.keys()) if (!complaints.has(key)) this.forget(key)
    for (const [key, complaint] of complaints) this.make(key, complaint)
  }

  /** It has a good value now. */
  recovered(key: string): void {
    const wasTold = this.#told.has(key)
    this.forget(key)
    const { logger, name, limits } = this.#options
    if (!wasTold || !limits.warn.take()) return
    logger.warn({ key: shown(key), service: name }, `the value at ${quoted(key)} is an instance now`)
  }

  /** It is gone. */
  forget(key: string): void {
    this.#told.delete(key)
    const known = this.#keys.get(key)
    if (known === undefined) return
    this.#keys.delete(key)
    this.#skipped -= Number(known.skipped)
    this.#ended.set(key, this.#options.clock.now())
    const [earliest] = this.#ended.keys()
    if (this.#ended.size > MOST_KEPT) this.#ended.delete(earliest!)
  }

  #wasTold(key: string): boolean {
    const ended = this.#ended.get(key)
    this.#ended.delete(key)
    return ended !== undefined && this.#options.clock.now() - ended < GOOD
  }

  #tell(key: string, { reason, level, partly }: InvalidEntry): void {
    const { logger, name, placed, limits } = this.#options
    if (!limits[level].take()) return
    const fields = { key: shown(key), service: name, reason: shown(reason) }
    const what = partly ? 'some of the instances' : 'the value'
    const message =
      level === 'debug'
        ? `${what} at ${quoted(key)} ${partly ? 'are none' : 'is no instance'} of "${placed.format.name}": ${fields.reason}`
        : `skipped ${what} at ${quoted(key)}${partly ? '' : ', no instance'}: ${fields.reason}`
    logger[level](fields, message)
    if (level === 'warn') this.#told.add(key)
  }
}
