import type { Logger } from '../etcd/support/logger.ts'
import { RangeWatch, type WatchDeps } from '../etcd/watch/key-watch.ts'
import { type ResolvedFormat, sameFormat } from '../formats/index.ts'
import type { Allow } from '../instance/instance.ts'
import type { DiscoverySource } from './discovery.ts'
import { InstanceTable } from './instance-table.ts'
import type { RowsStatus } from './range-rows.ts'

/** How a range of keys that is read stands; times of the day as ISO 8601. */
export interface WatchStatus extends RowsStatus {
  name: string
  prefix: string
  revision: string
  relists: number
  reconnects: number
  repairs: number
}

interface ReadOptions {
  allow: Allow | undefined
  logger: Logger
}

interface PooledTable {
  name: string
  formats: readonly ResolvedFormat[]
  table: InstanceTable
  watches: (InstanceTable['ranges'][number] & { watch: RangeWatch })[]
  users: number
}

/** One table, kept current, for all discoveries of one name and the same formats. */
export class TablePool {
  readonly #deps: WatchDeps
  readonly #reading: ReadOptions
  readonly #tables = new Set<PooledTable>()

  constructor(deps: WatchDeps, reading: ReadOptions) {
    this.#deps = deps
    this.#reading = reading
  }

  /** Until it is released. */
  use(name: string, formats: readonly ResolvedFormat[]): DiscoverySource {
    const shared = this.#find(name, formats) ?? this.#open(name, formats)
    const { table, watches } = shared
    shared.users += 1
    return {
      name,
      table,
      get revision() {
        return Math.max(...watches.map(({ watch }) => watch.revision))
      },
      release: () => {
        shared.users -= 1
        if (shared.users > 0) return
        for (const { watch } of watches) watch.close()
        table.close()
        this.#tables.delete(shared)
      },
    }
  }

  status(): WatchStatus[] {
    return [...this.#tables].flatMap(({ name, watches }) =>
      watches.map(({ range, rows, watch }) => ({
        name,
        prefix: 'prefix' in range ? range.prefix : range.key,
        revision: String(watch.revision),
        ...rows.status(),
        ...watch.counts,
      })),
    )
  }

  #find(name: string, formats: readonly ResolvedFormat[]): PooledTable | undefined {
    return [...this.#tables].find(shared => shared.name === name && sameFormats(shared.formats, formats))
  }

  #open(name: string, formats: readonly ResolvedFormat[]): PooledTable {
    const { allow, logger } = this.#reading
    const table = new InstanceTable({ name, formats, allow, clock: this.#deps.clock, logger })
    const watches = table.ranges.map(({ range, rows }) => {
      return { range, rows, watch: new RangeWatch(this.#deps, range, rows) }
    })
    const shared = { name, formats, table, watches, users: 0 }
    this.#tables.add(shared)
    return shared
  }
}

function sameFormats(a: readonly ResolvedFormat[], b: readonly ResolvedFormat[]): boolean {
  const same = (one: ResolvedFormat, other: ResolvedFormat) =>
    one.namespace === other.namespace && sameFormat(one.format, other.format)
  return a.length === b.length && a.every((one, i) => same(one, b[i]!))
}
