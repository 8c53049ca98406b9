import type { DiscoverySource } from './discovery.ts'
import { type PlacedFormat, sameFormat } from './formats/index.ts'
import { InstanceTable } from './instance-table.ts'
import type { Allow, Logger, RegistryStatus } from './types.ts'
import { RangeWatch, type WatchDeps } from './watch.ts'

interface ReadOptions {
  allow: Allow | undefined
  logger: Logger
}

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
  readonly #reading: ReadOptions
  readonly #tables = new Set<SharedTable>()

  constructor(deps: WatchDeps, reading: ReadOptions) {
    this.#deps = deps
    this.#reading = reading
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

function sameFormats(a: readonly PlacedFormat[], b: readonly PlacedFormat[]): boolean {
  const same = (one: PlacedFormat, other: PlacedFormat) =>
    one.namespace === other.namespace && sameFormat(one.format, other.format)
  return a.length === b.length && a.every((one, i) => same(one, b[i]!))
}
