import type { Clock } from './clock.ts'
import { type Complaint, Complaints, type ComplaintsOptions } from './complaints.ts'
import type { EtcdRegisterError } from './errors.ts'
import type { KeyEvent, KeyListing, KeyValue, WatchedKeys } from './etcd/key-value.ts'
import type { Decoded } from './formats/format.ts'
import { readEntry } from './formats/read-entry.ts'
import { sameInstance } from './instance.ts'
import type { Origin } from './merged-instances.ts'
import { TableChange } from './table-change.ts'
import type { ErrorStatus, RegistryStatus, ServiceInstance } from './types.ts'

interface Row {
  revision: number
  created: number
  /** `undefined`: the value is none of an instance. */
  instance: ServiceInstance | undefined
}

export interface RowsOptions extends ComplaintsOptions {
  /** Of the format among those that are read. */
  rank: number
  clock: Clock
}

export interface RowsListener {
  changed(change: TableChange): void
  /** `staleSince` may be another. */
  synced(): void
  failed(error: EtcdRegisterError): void
}

/** The keys of one range, each with its revision and what it says. */
export class RangeRows implements WatchedKeys, Origin {
  readonly #options: RowsOptions
  readonly #listener: RowsListener
  #rows = new Map<string, Row>()
  readonly #complaints: Complaints
  /** Keys that are none of an instance by themselves, and are not meant to be. */
  #ignored = new Set<string>()
  #lastError: ErrorStatus | undefined
  listed = false
  staleSince: Date | undefined

  constructor(options: RowsOptions, listener: RowsListener) {
    this.#options = options
    this.#listener = listener
    this.#complaints = new Complaints(options)
    this.staleSince = options.clock.date()
  }

  get rank(): number {
    return this.#options.rank
  }

  get size(): number {
    return this.#rows.size
  }

  addTo(instances: ServiceInstance[]): void {
    for (const { instance } of this.#rows.values()) if (instance !== undefined) instances.push(instance)
  }

  status(): Pick<
    RegistryStatus['watches'][number],
    'format' | 'instances' | 'stale' | 'staleSince' | 'skipped' | 'lastError'
  > {
    const { size: skipped } = this.#complaints
    return {
      format: this.#options.placed.format.name,
      instances: this.size - skipped - this.#ignored.size,
      stale: this.staleSince !== undefined,
      staleSince: this.staleSince?.toISOString(),
      skipped,
      lastError: this.#lastError,
    }
  }

  revisionOf(key: string): number | undefined {
    return this.#rows.get(key)?.revision
  }

  createdAt(key: string): number {
    return this.#rows.get(key)?.created ?? 0
  }

  list(): KeyListing {
    const before = this.#rows
    const rows = new Map<string, Row>()
    const skipped = new Map<string, Complaint>()
    const ignored = new Set<string>()
    const change = new TableChange()
    return {
      add: entry => {
        const previous = before.get(entry.key)?.instance
        // Also where the revisions are the same: those of a store that was wiped say nothing.
        const decoded = this.#decode(entry)
        if ('skip' in decoded) skipped.set(entry.key, this.#complaints.of(entry, decoded.skip))
        else if ('ignore' in decoded) ignored.add(entry.key)
        const row = rowOf(entry, decoded, previous)
        rows.set(entry.key, row)
        change.note(previous, row.instance)
      },
      done: () => {
        for (const [key, { instance }] of before) if (!rows.has(key)) change.note(instance, undefined)
        this.#rows = rows
        this.#ignored = ignored
        this.#complaints.replace(skipped)
        this.listed = true
        this.#listener.changed(change)
      },
    }
  }

  apply(events: readonly KeyEvent[]): void {
    const before = new Map<string, ServiceInstance | undefined>()
    for (const event of events) {
      if (!before.has(event.key)) before.set(event.key, this.#rows.get(event.key)?.instance)
      if (event.type === 'put') this.#rows.set(event.key, this.#read(event, before.get(event.key)))
      else {
        this.#rows.delete(event.key)
        this.#complaints.forget(event.key)
        this.#ignored.delete(event.key)
      }
    }
    const change = new TableChange()
    for (const [key, instance] of before) change.note(instance, this.#rows.get(key)?.instance)
    this.#listener.changed(change)
  }

  sync(fresh: boolean, silentFor: number): void {
    if (fresh) {
      this.staleSince = undefined
      this.#lastError = undefined
    } else this.staleSince ??= new Date(this.#options.clock.date().getTime() - silentFor)
    this.#listener.synced()
  }

  failed(error: EtcdRegisterError): void {
    const { code, message } = error
    this.#lastError = { code, message, at: this.#options.clock.date().toISOString() }
    this.#listener.failed(error)
  }

  #decode(entry: KeyValue): Decoded {
    return readEntry(this.#options.placed, this.#options.name, entry)
  }

  #read(entry: KeyValue, previous: ServiceInstance | undefined): Row {
    const { key } = entry
    const decoded = this.#decode(entry)
    if ('skip' in decoded) this.#complaints.make(key, this.#complaints.of(entry, decoded.skip))
    else this.#complaints.forget(key)
    if ('ignore' in decoded) this.#ignored.add(key)
    else this.#ignored.delete(key)
    return rowOf(entry, decoded, previous)
  }
}

/** An equal instance stays the same object, so that a put of what is there already is no change. */
function rowOf(
  { revision, created }: KeyValue,
  decoded: Decoded,
  previous: ServiceInstance | undefined,
): Row {
  const instance = 'instance' in decoded ? decoded.instance : undefined
  const same = previous !== undefined && instance !== undefined && sameInstance(previous, instance)
  return { revision, created, instance: same ? previous : instance }
}
