import type { DiscoverySource } from './discovery.ts'
import type { PlacedFormat } from './formats/index.ts'
import { InstanceTable } from './instance-table.ts'
import type { Logger, RegistryStatus } from './types.ts'
import { RangeWatch, type WatchDeps } from './watch.ts'

interface SharedTable {
  name: string
  formats: readonly PlacedFormat[]
  table: InstanceTable
  watches: (InstanceTable['ranges'][number] & { watch: RangeWatch })[]
  users: number
}

/** One table, kept current, for all discoveries of one name and the same formats. */
export class SharedTables {
  readonly #deps: WatchDeps
  readonly #logger: Logger
  readonly #tables = new Set<SharedTable>()

  constructor(deps: WatchDeps, logger: Logger) {
    this.#deps = deps
    this.#logger = logger
  }

  /** Until it is released. */
  use(name: string, formats: readonly PlacedFormat[]): DiscoverySource {
    const shared = this.#find(name, formats) ?? this.#open(name, formats)
    const { table, watches } = shared
    shared.users += 1
    return {
      name,
      table,
      get revision() {
        return Math.min(...watches.map(({ watch }) => watch.revision))
      },
      release: () => {
        shared.users -= 1
        if (shared.users > 0) return
        for (const { watch } of watches) watch.close()
        this.#tables.delete(shared)
      },
    }
  }

  status(): RegistryStatus['watches'] {
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

  #find(name: string, formats: readonly PlacedFormat[]): SharedTable | undefined {
    return [...this.#tables].find(shared => shared.name === name && sameFormats(shared.formats, formats))
  }

  #open(name: string, formats: readonly PlacedFormat[]): SharedTable {
    const table = new InstanceTable({ name, formats, clock: this.#deps.clock, logger: this.#logger })
    const watches = table.ranges.map(({ range, rows }) => {
      return { range, rows, watch: new RangeWatch(this.#deps, range, rows) }
    })
    const shared = { name, formats, table, watches, users: 0 }
    this.#tables.add(shared)
    return shared
  }
}

/** In one registry a format has one place. */
function sameFormats(a: readonly PlacedFormat[], b: readonly PlacedFormat[]): boolean {
  return a.length === b.length && a.every(({ format }, i) => format === b[i]?.format)
}
