import type { Connection } from './etcd/connection.ts'
import type { PlacedFormat } from './formats/index.ts'
import { readEntry, readName } from './formats/read-entry.ts'
import { RangeReader } from './range-reader.ts'

/** The names of all services that have an instance in this format, at one revision. */
export async function listServices(connection: Connection, placed: PlacedFormat): Promise<Set<string>> {
  const names = new Set<string>()
  const all = new RangeReader(connection, { prefix: placed.format.root(placed.namespace) })
  await all.each(0, entry => {
    const name = readName(placed, entry.key)
    if (name === undefined || names.has(name)) return
    if ('instance' in readEntry(placed, name, entry)) names.add(name)
  })
  return names
}
