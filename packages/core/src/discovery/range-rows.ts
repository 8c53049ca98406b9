import { AWAY, READ_ONLY } from '../etcd/client/health.ts'
import type { ErrorCode, ErrorStatus, EtcdRegisterError } from '../etcd/support/errors.ts'
import { errorFields } from '../etcd/support/logger.ts'
import { WarnOnce } from '../etcd/support/warn-once.ts'
import type { KeyListing, WatchedKeys } from '../etcd/watch/watched-keys.ts'
import type { KeyEvent, KeyValue } from '../etcd/wire/key-value.ts'
import { countIn, type Found, instancesIn, isList, type ReadEntry, readEntry } from '../formats/read-entry.ts'
import type { ServiceInstance } from '../instance/instance.ts'
import { sameInstance } from '../instance/instance.ts'
import { InvalidEntries, type InvalidEntriesOptions, type InvalidEntry } from './invalid-entries.ts'
import type { Origin } from './merged-instances.ts'
import { TableChange } from './table-change.ts'

/** How the rows of a range stand. */
export interface RowsStatus {
  format: string
  instances: number
  stale: boolean
  staleSince: string | undefined
  skipped: number
  lastError: ErrorStatus | undefined
}

/** Of these the connection or the watch stream warns. */
const TOLD_BY_OTHERS: ReadonlySet<ErrorCode> = new Set([
  ...AWAY,
  ...READ_ONLY,
  'ERR_ETCD_STREAM',
  'ERR_ETCD_ANSWER',
  'ERR_CLOSED',
])

/** What another try may mend is warned of when it lasts longer, in ms. */
const LASTING = 10_000

interface Row {
  revision: number
  created: number
  found: Found
}

export interface RowsOptions extends InvalidEntriesOptions {
  /** Of the format among those that are read. */
  rank: number
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
  /** Instances in them. */
  #count = 0
  readonly #invalid: InvalidEntries
  #lastError: ErrorStatus | undefined
  readonly #unread: WarnOnce
  listed = false
  staleSince: Date | undefined

  constructor(options: RowsOptions, listener: RowsListener) {
    this.#options = options
    this.#listener = listener
    this.#invalid = new InvalidEntries(options)
    this.#unread = new WarnOnce(options.clock, options.logger)
    this.staleSince = options.clock.date()
  }

  /** Nobody reads them any more. */
  close(): void {
    this.#unread.close()
  }

  get rank(): number {
    return this.#options.rank
  }

  get size(): number {
    return this.#rows.size
  }

  addTo(instances: ServiceInstance[]): void {
    for (const { found } of this.#rows.values()) {
      if (isList(found)) instances.push(...found)
      else if (found !== undefined) instances.push(found)
    }
  }

  status(): RowsStatus {
    return {
      format: this.#options.placed.format.name,
      instances: this.#count,
      stale: this.staleSince !== undefined,
      staleSince: this.staleSince?.toISOString(),
      skipped: this.#invalid.skipped,
      lastError: this.#lastError,
    }
  }

  revisionOf(key: string): number | undefined {
    return this.#rows.get(key)?.revision
  }

  holds(entry: KeyValue): boolean {
    const held = instancesIn(this.#rows.get(entry.key)?.found)
    const read = instancesIn(this.#decode(entry).found)
    return held.length === read.length && held.every((instance, i) => sameInstance(instance, read[i]!))
  }

  createdAt(key: string): number {
    return this.#rows.get(key)?.created ?? 0
  }

  list(): KeyListing {
    const before = this.#rows
    const rows = new Map<string, Row>()
    const complaints = new Map<string, InvalidEntry>()
    const change = new TableChange()
    let count = 0
    return {
      add: entry => {
        const previous = before.get(entry.key)
        // Also where the revisions are the same: those of a store that was wiped say nothing.
        const read = this.#decode(entry)
        const complaint = this.#invalid.of(entry, read)
        if (complaint !== undefined) complaints.set(entry.key, complaint)
        const row = rowOf(entry, read.found, previous?.found)
        count += countIn(row.found)
        rows.set(entry.key, row)
        noteRow(change, previous, row)
      },
      done: () => {
        for (const [key, row] of before) if (!rows.has(key)) noteRow(change, row, undefined)
        this.#rows = rows
        this.#count = count
        this.#invalid.replace(complaints)
        this.listed = true
        this.#listener.changed(change)
      },
    }
  }

  apply(events: readonly KeyEvent[]): void {
    const before = new Map<string, Row | undefined>()
    for (const event of events) {
      if (!before.has(event.key)) before.set(event.key, this.#rows.get(event.key))
      if (event.type === 'put') this.#rows.set(event.key, this.#read(event, before.get(event.key)?.found))
      else {
        this.#rows.delete(event.key)
        this.#invalid.forget(event.key)
      }
    }
    const change = new TableChange()
    for (const [key, row] of before) {
      const now = this.#rows.get(key)
      this.#count += countIn(now?.found) - countIn(row?.found)
      noteRow(change, row, now)
    }
    this.#listener.changed(change)
  }

  sync(fresh: boolean, silentFor: number): void {
    if (fresh) {
      const { name: service } = this.#options
      this.#unread.ends(() => ({
        fields: { service },
        message: `the keys of "${service}" can be read again`,
      }))
      this.staleSince = undefined
      this.#lastError = undefined
    } else this.staleSince ??= new Date(this.#options.clock.date().getTime() - silentFor)
    this.#listener.synced()
  }

  failed(error: EtcdRegisterError): void {
    const { code, message } = error
    this.#lastError = { code, message, at: this.#options.clock.date().toISOString() }
    if (!TOLD_BY_OTHERS.has(code)) {
      const fields = { ...errorFields(error), service: this.#options.name }
      const after = code === 'ERR_ETCD_PERMISSION' ? 0 : LASTING
      this.#unread.begins(code, { fields, message: `${message} Retrying.` }, after)
    }
    this.#listener.failed(error)
  }

  #decode(entry: KeyValue): ReadEntry {
    const { placed, name, allow } = this.#options
    return readEntry(placed, name, entry, allow)
  }

  #read(entry: KeyValue, previous: Found): Row {
    const { key } = entry
    const read = this.#decode(entry)
    const complaint = this.#invalid.of(entry, read)
    if (complaint === undefined) this.#invalid.recovered(key)
    else this.#invalid.make(key, complaint)
    return rowOf(entry, read.found, previous)
  }
}

/** Of keys with one instance each, the key says which one it is; of several, their ids do. */
function noteRow(change: TableChange, before: Row | undefined, after: Row | undefined): void {
  const was = before?.found
  const is = after?.found
  const anew = after?.created !== before?.created
  if (!isList(was) && !isList(is)) {
    noteOne(change, was, is, anew)
    return
  }
  const left = byId(was)
  for (const instance of instancesIn(is)) {
    noteOne(change, left.get(instance.id), instance, anew)
    left.delete(instance.id)
  }
  for (const instance of left.values()) change.note(instance, undefined)
}

/** `anew`: its key was created anew. */
function noteOne(
  change: TableChange,
  was: ServiceInstance | undefined,
  is: ServiceInstance | undefined,
  anew: boolean,
): void {
  change.note(was, is)
  if (is !== undefined && is === was && anew) change.renewed.push(is)
}

/** An equal instance stays the same object, so that a put of what is there already is no change. */
function rowOf({ revision, created }: KeyValue, found: Found, previous: Found): Row {
  return { revision, created, found: keptOf(found, previous) }
}

function keptOf(found: Found, previous: Found): Found {
  if (found === undefined || previous === undefined) return found
  if (!isList(found) && !isList(previous)) return sameInstance(previous, found) ? previous : found
  const known = byId(previous)
  return instancesIn(found).map(instance => {
    const held = known.get(instance.id)
    return held !== undefined && sameInstance(held, instance) ? held : instance
  })
}

function byId(found: Found): Map<string, ServiceInstance> {
  return new Map(instancesIn(found).map(instance => [instance.id, instance]))
}
