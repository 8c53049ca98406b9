import type { Connection } from './etcd/connection.ts'
import { keyValueOf, prefixEnd } from './etcd/key-value.ts'
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
  for (let key = root.length > 0 ? root : FIRST_KEY, pinned: string | undefined; ; ) {
    const page = await connection.range({
      key,
      range_end: prefixEnd(root),
      limit: PAGE,
      ...(pinned !== undefined && { revision: pinned }),
    })
    pinned ??= page.header.revision
    for (const entry of page.kvs.map(keyValueOf)) {
      const name = readName(placed, entry.key)
      if (name === undefined || names.has(name)) continue
      if ('instance' in readEntry(placed, name, entry)) names.add(name)
    }
    if (!page.more) return names
    key = Buffer.concat([page.kvs.at(-1)!.key, Buffer.from([0])])
  }
}
