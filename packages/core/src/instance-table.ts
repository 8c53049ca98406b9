import type { Clock } from './clock.ts'
import type { EtcdRegisterError } from './errors.ts'
import type { KeyEvent, KeyValue, WatchedKeys } from './etcd/key-value.ts'
import type { KeyRange, PlacedFormat } from './formats/index.ts'
import { readEntry } from './formats/read-entry.ts'
import { sameInstance } from './instance.ts'
import { MergedInstances } from './merged-instances.ts'
import { TableChange } from './table-change.ts'
import type { Logger, RegistryStatus, ServiceInstance } from './types.ts'

/** With more bad values than that at a time, a line for each says nothing more. */
const MOST_COMPLAINTS = 100

interface Row {
  revision: number
  /** `undefined`: the value is none of an instance. */
  instance: ServiceInstance | undefined
}

export interface TableListener {
  changed(change: TableChange): void
  stale(since: Date): void
  fresh(): void
  /** All ranges are listed. */
  listed(): void
  failed(error: EtcdRegisterError): void
}

export interface TableOptions {
  name: string
  /** Those before count more where several have one address. */
  formats: readonly PlacedFormat[]
  clock: Clock
  logger: Logger
}

/** The instances of one service, out of one or more key ranges. An event costs what it changes, whatever the size. */
export class InstanceTable {
  readonly #options: TableOptions
  /** What is to be kept current by a watch each. */
  readonly ranges: readonly { range: KeyRange; rows: WatchedKeys }[]
  readonly #ranges: readonly Rows[]
  /** `undefined`: each key is an instance. */
  readonly #merged: MergedInstances | undefined
  readonly #listeners = new Set<TableListener>()
  #instances: readonly ServiceInstance[] | undefined
  #staleSince: Date | undefined
  #lastError: { error: EtcdRegisterError; at: Date } | undefined

  constructor(options: TableOptions) {
    this.#options = options
    this.#staleSince = options.clock.date()
    const { name, formats } = options
    const byAddress = formats.length > 1 || formats[0]?.format.identity === 'address'
    this.#merged = byAddress ? new MergedInstances() : undefined
    const ranges = formats.flatMap(placed =>
      placed.format.ranges(name, placed.namespace).map(range => ({ range, placed })),
    )
    this.ranges = ranges.map(({ range, placed }, rank) => ({ range, rows: this.#rowsOf(placed, rank) }))
    this.#ranges = this.ranges.map(({ rows }) => rows as Rows)
  }

  #rowsOf(placed: PlacedFormat, rank: number): Rows {
    return new Rows(this.#options, placed, {
      changed: change => this.#changed(this.#merged?.apply(change, rank) ?? change),
      sync: (silentFor: number) => this.#sync(silentFor),
      failed: error => {
        this.#lastError = { error, at: this.#options.clock.date() }
        for (const listener of this.#listeners) listener.failed(error)
      },
    })
  }

  get lastError(): EtcdRegisterError | undefined {
    return this.#lastError?.error
  }

  subscribe(listener: TableListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Frozen, and the same one until something changes; put together when it is read. */
  get instances(): readonly ServiceInstance[] {
    this.#instances ??= Object.freeze(
      this.#merged?.instances() ?? this.#ranges.flatMap(rows => rows.instances()),
    )
    return this.#instances
  }

  get listed(): boolean {
    return this.#ranges.every(rows => rows.listed)
  }

  get staleSince(): Date | undefined {
    return this.#staleSince
  }

  status(): Pick<
    RegistryStatus['watches'][number],
    'instances' | 'stale' | 'staleSince' | 'skipped' | 'lastError'
  > {
    const skipped = this.#ranges.reduce((sum, rows) => sum + rows.skipped, 0)
    const ignored = this.#ranges.reduce((sum, rows) => sum + rows.ignored, 0)
    const keys = this.#ranges.reduce((sum, rows) => sum + rows.size, 0)
    const last = this.#lastError
    return {
      instances: this.#merged?.size ?? keys - skipped - ignored,
      stale: this.#staleSince !== undefined,
      staleSince: this.#staleSince?.toISOString(),
      skipped,
      lastError: last && { code: last.error.code, message: last.error.message, at: last.at.toISOString() },
    }
  }

  #changed(change: TableChange): void {
    if (!change.empty) {
      this.#instances = undefined
      for (const listener of this.#listeners) listener.changed(change)
    }
    if (this.listed) for (const listener of this.#listeners) listener.listed()
  }

  #sync(silentFor: number): void {
    const fresh = this.#ranges.every(rows => rows.fresh)
    if (fresh === (this.#staleSince === undefined)) return
    if (fresh) this.#lastError = undefined
    this.#staleSince = fresh ? undefined : new Date(this.#options.clock.date().getTime() - silentFor)
    for (const listener of this.#listeners) {
      if (this.#staleSince === undefined) listener.fresh()
      else listener.stale(this.#staleSince)
    }
  }
}

interface RowsListener {
  changed(change: TableChange): void
  sync(silentFor: number): void
  failed(error: EtcdRegisterError): void
}

/** The keys of one range, each with its revision and what it says. */
class Rows implements WatchedKeys {
  readonly #options: TableOptions
  readonly #placed: PlacedFormat
  readonly #listener: RowsListener
  #rows = new Map<string, Row>()
  /** Keys whose value was complained of; they are not again until they were good or gone. */
  readonly #complained = new Set<string>()
  /** Keys that are none of an instance by themselves, and are not meant to be. */
  readonly #ignored = new Set<string>()
  listed = false
  fresh = false

  constructor(options: TableOptions, placed: PlacedFormat, listener: RowsListener) {
    this.#options = options
    this.#placed = placed
    this.#listener = listener
  }

  get size(): number {
    return this.#rows.size
  }

  get skipped(): number {
    return this.#complained.size
  }

  get ignored(): number {
    return this.#ignored.size
  }

  instances(): ServiceInstance[] {
    const instances: ServiceInstance[] = []
    for (const { instance } of this.#rows.values()) if (instance !== undefined) instances.push(instance)
    return instances
  }

  revisionOf(key: string): number | undefined {
    return this.#rows.get(key)?.revision
  }

  reset(entries: readonly KeyValue[]): void {
    const before = this.#rows
    this.#rows = new Map()
    const change = new TableChange()
    for (const entry of entries) {
      const previous = before.get(entry.key)
      // Also where the revisions are the same: those of a store that was wiped say nothing.
      const row = this.#read(entry, previous?.instance)
      this.#rows.set(entry.key, row)
      change.note(previous?.instance, row.instance)
    }
    for (const [key, { instance }] of before) {
      if (this.#rows.has(key)) continue
      this.#forget(key)
      change.note(instance, undefined)
    }
    this.listed = true
    this.#listener.changed(change)
  }

  apply(events: readonly KeyEvent[]): void {
    const before = new Map<string, ServiceInstance | undefined>()
    for (const event of events) {
      if (!before.has(event.key)) before.set(event.key, this.#rows.get(event.key)?.instance)
      if (event.type === 'put') this.#rows.set(event.key, this.#read(event, before.get(event.key)))
      else {
        this.#rows.delete(event.key)
        this.#forget(event.key)
      }
    }
    const change = new TableChange()
    for (const [key, instance] of before) change.note(instance, this.#rows.get(key)?.instance)
    this.#listener.changed(change)
  }

  sync(fresh: boolean, silentFor: number): void {
    this.fresh = fresh
    this.#listener.sync(silentFor)
  }

  failed(error: EtcdRegisterError): void {
    this.#listener.failed(error)
  }

  /** An equal instance stays the same object, so that a put of what is there already is no change. */
  #read(entry: KeyValue, previous: ServiceInstance | undefined): Row {
    const { key, revision } = entry
    const decoded = readEntry(this.#placed, this.#options.name, entry)
    this.#ignored.delete(key)
    if ('skip' in decoded) {
      this.#complain(key, decoded.skip)
      return { revision, instance: undefined }
    }
    this.#complained.delete(key)
    if ('ignore' in decoded) {
      this.#ignored.add(key)
      return { revision, instance: undefined }
    }
    const same = previous !== undefined && sameInstance(previous, decoded.instance)
    return { revision, instance: same ? previous : decoded.instance }
  }

  #forget(key: string): void {
    this.#complained.delete(key)
    this.#ignored.delete(key)
  }

  #complain(key: string, reason: string): void {
    if (this.#complained.has(key)) return
    this.#complained.add(key)
    const { logger, name, formats } = this.#options
    // Where several formats are read, what one skips may be good to another.
    if (formats.length > 1) {
      logger.debug({ key, service: name, reason }, `no instance of "${this.#placed.format.name}": ${reason}`)
      return
    }
    if (this.#complained.size === MOST_COMPLAINTS) {
      logger.warn(
        { service: name },
        `skipped ${MOST_COMPLAINTS} values of "${name}"; status() counts the rest`,
      )
    }
    if (this.#complained.size >= MOST_COMPLAINTS) return
    logger.warn(
      { key, service: name, reason },
      `skipped the value at ${JSON.stringify(key)}, no instance: ${reason}`,
    )
  }
}
