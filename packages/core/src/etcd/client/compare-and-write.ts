import type { ICompare, IRequestOp } from 'etcd3'
import type { KeyValue } from '../wire/key-value.ts'
import type { TxnAnswer } from '../wire/txn-answer.ts'
import type { Connection } from './connection.ts'

/** How a key stands as far as we know. A store that was wiped or restored gives revisions out again: all of it counts. */
export type Known = Pick<KeyValue, 'revision' | 'lease' | 'value'>

export const ABSENT: Known = { revision: 0, lease: '0', value: Buffer.alloc(0) }

export function knownOf(found: KeyValue | undefined): Known {
  if (found === undefined) return ABSENT
  const { revision, lease, value } = found
  return { revision, lease, value }
}

export function isKnown(found: KeyValue | undefined, known: Known): boolean {
  const { revision, lease, value } = knownOf(found)
  return revision === known.revision && lease === known.lease && value.equals(known.value)
}

/** Others may write in between, but not each time. */
const MOST_TRIES = 10

export interface OwnedWrite {
  puts: readonly {
    key: string
    value: string
    /** Whether what stands there has to be deleted first, in a revision of its own. */
    isAnother?: ((found: Buffer) => boolean) | undefined
  }[]
  deletes: readonly string[]
  lease: string
  /** Each key as last known; corrected here. */
  known: Map<string, Known>
  /** Whether what stands there may be overwritten or deleted. */
  mayTake(found: KeyValue): boolean
}

/**
 * Puts and deletes in one transaction that compares each key's revision and lease: it never touches what somebody else
 * wrote since. What has to be deleted first is so in a transaction before it. Gives the key that is not ours if there is
 * one.
 */
export async function writeOwned(
  connection: Connection,
  { puts, deletes, lease, known, mayTake }: OwnedWrite,
): Promise<{ revision: number } | { refused: KeyValue }> {
  const values = new Map(puts.map(({ key, value }) => [key, Buffer.from(value)]))
  const keys = [...values.keys(), ...deletes]
  const removal = (key: string): IRequestOp => ({ request_delete_range: { key: Buffer.from(key) } })
  const write: IRequestOp[] = [
    ...[...values].map(([key, value]) => ({ request_put: { key: Buffer.from(key), value, lease } })),
    ...deletes.map(removal),
  ]
  const stands = (key: string) => known.get(key) ?? ABSENT
  /** What this call deleted, once: who had it before may write it again, and is the older one all the same. */
  const cleared = new Set<string>()
  for (let tries = 1; ; tries += 1) {
    const compare = keys.flatMap(key => unchanged(key, stands(key)))
    const others = puts.filter(
      ({ key, isAnother }) => !cleared.has(key) && stands(key).revision > 0 && isAnother?.(stands(key).value),
    )
    // Puts that etcd refuses, for want of space, it refuses here, before anything is deleted.
    if (others.length > 0) await connection.txn({ compare: NEVER, success: write, failure: [] })
    const success = others.length > 0 ? others.map(({ key }) => removal(key)) : write
    const answer = await connection.txn({ compare, success, failure: reads(keys) })
    const { revision } = answer
    if (answer.succeeded && others.length > 0) {
      for (const { key } of others) {
        known.set(key, ABSENT)
        cleared.add(key)
      }
      continue
    }
    if (answer.succeeded) {
      for (const key of deletes) known.set(key, ABSENT)
      for (const [key, value] of values) known.set(key, { revision, lease, value })
      return { revision }
    }
    const all = foundIn(keys, answer)
    // The comparison and the read are one transaction.
    const fits = all.every(([key, found]) => isAsCompared(found, stands(key)))
    if (fits || tries === MOST_TRIES)
      throw connection.distrust('a write', 'it refuses what fits the keys as it reads them')
    for (const [key, found] of all) {
      if (found !== undefined && !cleared.has(key) && !mayTake(found)) return { refused: found }
      known.set(key, knownOf(found))
    }
  }
}

/** No key was created before 0. */
const NEVER = [
  { key: Buffer.from('/'), target: 'Create', result: 'Less', create_revision: '0' },
] as unknown as ICompare[]

/** The keys as they stand at one revision. */
export async function readKeys(
  connection: Connection,
  keys: readonly string[],
): Promise<[key: string, found: KeyValue | undefined][]> {
  const answer = await connection.txn({ compare: [], success: reads(keys), failure: [] })
  return foundIn(keys, answer)
}

/** What `unchanged()` compares. */
function isAsCompared(found: KeyValue | undefined, { revision, lease }: Known): boolean {
  const now = found ?? ABSENT
  return now.revision === revision && (revision === 0 || now.lease === lease)
}

function unchanged(key: string, { revision, lease }: Known): ICompare[] {
  const equal = { key: Buffer.from(key), result: 'Equal' }
  const compare = [
    { ...equal, target: 'Mod', mod_revision: String(revision) },
    ...(revision > 0 ? [{ ...equal, target: 'Lease', lease }] : []),
  ]
  return compare as unknown as ICompare[]
}

function reads(keys: readonly string[]): IRequestOp[] {
  return keys.map(key => ({ request_range: { key: Buffer.from(key) } })) as unknown as IRequestOp[]
}

function foundIn(keys: readonly string[], { found }: TxnAnswer): [string, KeyValue | undefined][] {
  return keys.map((key, i) => [key, found[i]])
}
