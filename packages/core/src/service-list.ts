import type { Connection } from './etcd/connection.ts'
import { prefixEnd } from './etcd/key-value.ts'
import type { PlacedFormat } from './formats/index.ts'
import { readEntry, readName } from './formats/read-entry.ts'

/** Keys in one page. */
const PAGE = 5000

/** etcd has no empty key: where everything is read, it begins here. */
const FIRST_KEY = Buffer.from([0])

/** The names of all services that have an instance in this format, at one revision. */
export async function listServices(connection: Connection, placed: PlacedFormat): Promise<Set<string>> {
  const root = Buffer.from(placed.format.root(placed.namespace))
  const names = new Set<string>()
  let key: Buffer = root.length > 0 ? root : FIRST_KEY
  for (let pinned: number | undefined; ; ) {
    const page = await connection.range({
      key,
      range_end: prefixEnd(root),
      limit: PAGE,
      ...(pinned !== undefined && { revision: String(pinned) }),
    })
    pinned ??= page.revision
    for (let i = 0; i < page.length; i += 1) {
      const entry = page.at(i)
      const name = readName(placed, entry.key)
      if (name === undefined || names.has(name)) continue
      if ('instance' in readEntry(placed, name, entry)) names.add(name)
    }
    if (page.next === undefined) return names
    key = page.next
  }
}
