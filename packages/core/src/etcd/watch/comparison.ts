import type { EtcdRegisterError } from '../support/errors.ts'
import type { KeyValue } from '../wire/key-value.ts'
import type { RangeReader } from './range-reader.ts'
import type { WatchedKeys } from './watched-keys.ts'

/** How keys that were followed by a watch stand to what etcd has at the same revision; `gone`: it has no such revision. */
export type Comparison = 'same' | 'gone' | { different: number }

/** The history of etcd and the one that was followed. `same-so-far`: the range is larger than what was compared. */
export type History = 'same' | 'same-so-far' | 'other'

/** So many keys are read again before a watch goes on, and all of them are counted. */
const EXACT = 1000

/**
 * Before a watch goes on: whether etcd's history at `revision` is the one that was followed. A store that was wiped,
 * restored or rewound may have caught up since. Values can differ even where all revisions are the same, so those that
 * were read are taken in.
 */
export async function compareHistory(
  reader: RangeReader,
  keys: WatchedKeys,
  revision: number,
  signal: AbortSignal,
): Promise<History> {
  try {
    const { entries, count } = await reader.first(EXACT, revision)
    if (signal.aborted) return 'same'
    if (count !== keys.size) return 'other'
    const listing = entries.length === keys.size ? keys.list() : undefined
    for (const entry of entries) {
      if (keys.revisionOf(entry.key) !== entry.revision) return 'other'
      listing?.add(entry)
    }
    if (listing === undefined) return 'same-so-far'
    listing.done(revision)
    return 'same'
  } catch (error) {
    if (isGone(error)) return 'other'
    throw error
  }
}

/** Every key at `revision`, but for those `touched` while it is read. With `values`, also what the keys hold. */
export async function compareAll(
  reader: RangeReader,
  keys: WatchedKeys,
  revision: number,
  { touched, values }: { touched: ReadonlySet<string>; values: boolean },
): Promise<Comparison> {
  try {
    const found: { key: string; revision: number; equal: boolean }[] = []
    const onEntry = (entry: KeyValue) => {
      const equal = !values || (keys.holds?.(entry) ?? true)
      found.push({ key: entry.key, revision: entry.revision, equal })
    }
    await reader.each(revision, onEntry, { keysOnly: !values })
    // Looked at when all is read: a key can be touched after its page came.
    const theirs = found.filter(({ key }) => !touched.has(key))
    const known = theirs.filter(({ key }) => keys.revisionOf(key) !== undefined).length
    const same = theirs.filter(entry => keys.revisionOf(entry.key) === entry.revision && entry.equal).length
    const held = [...touched].filter(key => keys.revisionOf(key) !== undefined).length
    const unknown = keys.size - held - known
    const different = theirs.length - same + unknown
    return different === 0 ? 'same' : { different }
  } catch (error) {
    if (isGone(error)) return 'gone'
    throw error
  }
}

function isGone(error: unknown): boolean {
  const { code } = error as EtcdRegisterError
  return code === 'ERR_ETCD_COMPACTED' || code === 'ERR_ETCD_FUTURE_REVISION'
}
