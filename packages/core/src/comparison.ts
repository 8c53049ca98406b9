import type { EtcdRegisterError } from './errors.ts'
import type { WatchedKeys } from './etcd/key-value.ts'
import type { RangeReader } from './range-reader.ts'

/** How keys that were followed by a watch stand to what etcd has at the same revision; `gone`: it has no such revision. */
export type Comparison = 'same' | 'gone' | { different: number }

/** So many keys are read again, and all of them are counted. */
const EXACT = 1000

/**
 * Before a watch goes on: whether etcd's history at `revision` is the one that was followed. A store that was wiped,
 * restored or rewound may have caught up since. Values can differ even where all revisions are the same, so those that
 * were read are taken in.
 */
export async function isSameHistory(
  reader: RangeReader,
  keys: WatchedKeys,
  revision: number,
  signal: AbortSignal,
): Promise<boolean> {
  try {
    const page = await reader.first(EXACT, revision)
    if (signal.aborted) return true
    if (page.count !== keys.size) return false
    const listing = page.length === keys.size ? keys.list() : undefined
    for (let i = 0; i < page.length; i += 1) {
      const entry = page.at(i)
      if (keys.revisionOf(entry.key) !== entry.revision) return false
      listing?.add(entry)
    }
    listing?.done(revision)
    return true
  } catch (error) {
    if (isGone(error)) return false
    throw error
  }
}

/** Every key at `revision`, but for those `touched` while it is read. */
export async function compareAll(
  reader: RangeReader,
  keys: WatchedKeys,
  revision: number,
  touched: ReadonlySet<string>,
): Promise<Comparison> {
  try {
    const found: { key: string; revision: number }[] = []
    await reader.each(revision, entry => found.push({ key: entry.key, revision: entry.revision }), true)
    // Looked at when all is read: a key can be touched after its page came.
    const theirs = found.filter(({ key }) => !touched.has(key))
    const known = theirs.filter(({ key }) => keys.revisionOf(key) !== undefined).length
    const same = theirs.filter(entry => keys.revisionOf(entry.key) === entry.revision).length
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
