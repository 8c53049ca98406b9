import type { Clock } from '../etcd/support/clock.ts'
import type { EtcdRegisterError } from '../etcd/support/errors.ts'
import type { Logger } from '../etcd/support/logger.ts'
import type { KeyRange } from '../etcd/watch/key-range.ts'
import { type ResolvedFormat, rangesOf } from '../formats/index.ts'
import type { Allow, ServiceInstance } from '../instance/instance.ts'
import type { InvalidEntriesOptions } from './invalid-entries.ts'
import { LineLimit, MOST_LINES } from './line-limit.ts'
import { MergedInstances } from './merged-instances.ts'
import { RangeRows } from './range-rows.ts'
import type { TableChange } from './table-change.ts'

export interface TableListener {
  changed(change: TableChange): void
  stale(since: Date): void
  fresh(): void
  failed(error: EtcdRegisterError): void
}

export interface TableOptions {
  name: string
  /** Those before count more where several have one address. */
  formats: readonly ResolvedFormat[]
  allow?: Allow | undefined
  clock: Clock
  logger: Logger
}

/** The instances of one service, out of one or more key ranges. An event costs what it changes, whatever the size. */
export class InstanceTable {
  /** What is to be kept current by a watch each. */
  readonly ranges: readonly { readonly range: KeyRange; readonly rows: RangeRows }[]
  /** `undefined`: each key is an instance. */
  readonly #merged: MergedInstances | undefined
  readonly #listeners = new Set<TableListener>()
  readonly #limits: InvalidEntriesOptions['limits']
  /** Listed, and then followed by a watch, or by an attempt at one that failed. */
  ready = false
  #instances: readonly ServiceInstance[] | undefined
  #staleSince: Date | undefined
  #lastError: EtcdRegisterError | undefined

  constructor({ name, formats, allow, clock, logger }: TableOptions) {
    const limitOf = (level: 'debug' | 'warn') =>
      new LineLimit(clock, {
        reached: () =>
          logger[level](
            { service: name },
            `skipped ${MOST_LINES} values of "${name}" within a minute; no more lines in it, status() counts all`,
          ),
        over: left =>
          logger[level](
            { service: name, skipped: left },
            `${left} of the values of "${name}" that were skipped within a minute had no line`,
          ),
      })
    this.#limits = { debug: limitOf('debug'), warn: limitOf('warn') }
    const byAddress = formats.length > 1 || formats[0]?.format.identity === 'address'
    this.#merged = byAddress ? new MergedInstances() : undefined
    const ranges = formats.flatMap((placed, rank) =>
      rangesOf(placed, name).map(range => ({ range, placed, rank })),
    )
    this.ranges = ranges.map(({ range, placed, rank }) => {
      const sharing = ranges.filter(other => other.rank !== rank && overlap(range, other.range))
      const others = sharing.map(other => other.placed)
      const quiet = sharing.some(other => other.rank < rank)
      const rows: RangeRows = new RangeRows(
        { name, placed, allow, rank, others, quiet, limits: this.#limits, clock, logger },
        {
          changed: change => this.#changed(this.#merged?.apply(change, rows) ?? change),
          synced: () => this.#sync(),
          failed: error => {
            this.#lastError = error
            this.ready ||= this.listed
            for (const listener of this.#listeners) listener.failed(error)
          },
        },
      )
      return { range, rows }
    })
    this.#staleSince = this.#oldest()
  }

  get lastError(): EtcdRegisterError | undefined {
    return this.#lastError
  }

  /** Nothing changes any more. */
  close(): void {
    for (const limit of Object.values(this.#limits)) limit.close()
    for (const { rows } of this.ranges) rows.close()
  }

  subscribe(listener: TableListener): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Frozen, and the same one until something changes; put together when it is read. */
  get instances(): readonly ServiceInstance[] {
    if (this.#instances !== undefined) return this.#instances
    const instances = this.#merged?.instances() ?? []
    if (this.#merged === undefined) for (const { rows } of this.ranges) rows.addTo(instances)
    this.#instances = Object.freeze(instances)
    return this.#instances
  }

  get listed(): boolean {
    return this.ranges.every(({ rows }) => rows.listed)
  }

  get staleSince(): Date | undefined {
    return this.#staleSince
  }

  #changed(change: TableChange): void {
    if (change.empty) return
    this.#instances = undefined
    for (const listener of this.#listeners) listener.changed(change)
  }

  #sync(): void {
    const since = this.#oldest()
    if ((since === undefined) === (this.#staleSince === undefined)) return
    this.#staleSince = since
    if (since === undefined) {
      this.#lastError = undefined
      this.ready = true
    }
    for (const listener of this.#listeners) {
      if (since === undefined) listener.fresh()
      else listener.stale(since)
    }
  }

  /** Since when one of the ranges, or more, cannot be kept current. */
  #oldest(): Date | undefined {
    let oldest: Date | undefined
    for (const { staleSince } of this.ranges.map(({ rows }) => rows)) {
      if (staleSince !== undefined && (oldest === undefined || staleSince < oldest)) oldest = staleSince
    }
    return oldest
  }
}

/** Whether a key can be in both. */
function overlap(a: KeyRange, b: KeyRange): boolean {
  const [one, other] = ['prefix' in a ? a.prefix : a.key, 'prefix' in b ? b.prefix : b.key]
  return one === other || ('prefix' in a && other.startsWith(one)) || ('prefix' in b && one.startsWith(other))
}
