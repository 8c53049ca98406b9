import type { Connection } from '../etcd/client/connection.ts'
import type { EtcdRegisterError } from '../etcd/support/errors.ts'
import { RangeReader } from '../etcd/watch/range-reader.ts'
import type { KeyValue } from '../etcd/wire/key-value.ts'
import type { ResolvedFormat } from '../formats/index.ts'
import { readEntry, readName } from '../formats/read-entry.ts'
import type { Allow } from '../instance/instance.ts'

/** Of a name, so many keys are read at most: where none of them is an instance, they are keys of something else. */
const MOST_READ = 100

/** With so few keys for each name, reading all of them in pages costs less than a request for each name. */
const FEW = 4

/** Names, and keys of each of them, that are read at the same time. */
const NAMES_AT_A_TIME = 8
const KEYS_AT_A_TIME = 10

/** How often all is read again where etcd compacts the revision meanwhile. */
const TRIES = 3

/**
 * The names of all services that have an instance in this format, at one revision. The keys have the names; of the values,
 * which are most of the bytes, one for each name is read where it is an instance, and all where there are few.
 */
export async function listServices(
  connection: Connection,
  placed: ResolvedFormat,
  allow: Allow | undefined,
): Promise<Set<string>> {
  const all = new RangeReader(connection, { prefix: placed.format.root(placed.namespace) })
  const isInstance = (name: string, entry: KeyValue) =>
    readEntry(placed, name, entry, allow).found !== undefined
  for (let tries = 1; ; tries += 1) {
    const { names, count, revision } = await keysByName(all, placed)
    const isService = ([name, keys]: [string, string[]]) =>
      someKey(keys, async key => {
        const { entries } = await new RangeReader(connection, { key }).first(1, revision)
        return entries.some(entry => isInstance(name, entry))
      })
    try {
      if (count > FEW * names.size) return await namesThat(names, isService)
      const found = new Set<string>()
      await all.each(revision, entry => {
        const name = readName(placed, entry.key)
        if (name !== undefined && !found.has(name) && isInstance(name, entry)) found.add(name)
      })
      return found
    } catch (error) {
      const { code } = error as EtcdRegisterError
      if (code !== 'ERR_ETCD_COMPACTED' || tries === TRIES) throw error
    }
  }
}

/** `count`: of all keys, those without a name too. */
async function keysByName(
  all: RangeReader,
  placed: ResolvedFormat,
): Promise<{ names: Map<string, string[]>; count: number; revision: number }> {
  const names = new Map<string, string[]>()
  let count = 0
  const add = ({ key }: KeyValue) => {
    count += 1
    const name = readName(placed, key)
    if (name === undefined) return
    const keys = names.get(name) ?? []
    if (keys.length < MOST_READ) keys.push(key)
    names.set(name, keys)
  }
  const { revision } = await all.each(0, add, { keysOnly: true })
  return { names, count, revision }
}

async function namesThat(
  names: ReadonlyMap<string, string[]>,
  isService: (entry: [string, string[]]) => Promise<boolean>,
): Promise<Set<string>> {
  const found = new Set<string>()
  // Each of those who read takes the next one.
  const left = names.entries()
  const read = async () => {
    for (const entry of left) if (await isService(entry)) found.add(entry[0])
  }
  await Promise.all(Array.from({ length: NAMES_AT_A_TIME }, read))
  return found
}

/** Whether one of them is; mostly the first one says so. */
async function someKey(keys: readonly string[], is: (key: string) => Promise<boolean>): Promise<boolean> {
  for (let from = 0; from < keys.length; ) {
    const to = from === 0 ? 1 : from + KEYS_AT_A_TIME
    const answers = await Promise.all(keys.slice(from, to).map(is))
    if (answers.includes(true)) return true
    from = to
  }
  return false
}
