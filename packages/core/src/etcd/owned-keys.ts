import type { ICompare, IRequestOp, ITxnResponse } from 'etcd3'
import type { Connection } from './connection.ts'
import { type KeyValue, keyValueOf } from './key-value.ts'

/** How a key stands as far as we know. A wiped store gives revisions out again, leases it does not: both count. */
export interface Known {
  readonly revision: number
  readonly lease: string
}

export const ABSENT: Known = { revision: 0, lease: '0' }

export function knownOf(found: KeyValue | undefined): Known {
  return found === undefined ? ABSENT : { revision: found.revision, lease: found.lease }
}

export interface OwnedWrite {
  puts: readonly { key: string; value: string }[]
  deletes: readonly string[]
  lease: string
  /** Each key as last known; corrected here. */
  known: Map<string, Known>
  /** Whether what stands there may be overwritten or deleted. */
  mayTake(found: KeyValue): boolean
}

/**
 * Puts and deletes in one transaction that compares each key's revision and lease: it never touches what somebody
 * else wrote since. Gives the key that is not ours if there is one.
 */
export async function writeOwned(
  connection: Connection,
  { puts, deletes, lease, known, mayTake }: OwnedWrite,
): Promise<{ revision: number } | { refused: KeyValue }> {
  const keys = [...puts.map(({ key }) => key), ...deletes]
  const write: IRequestOp[] = [
    ...puts.map(({ key, value }) => ({
      request_put: { key: Buffer.from(key), value: Buffer.from(value), lease },
    })),
    ...deletes.map(key => ({ request_delete_range: { key: Buffer.from(key) } })),
  ]
  for (;;) {
    const compare = keys.flatMap(key => unchanged(key, known.get(key) ?? ABSENT))
    const answer = await connection.txn({ compare, success: write, failure: reads(keys) })
    const revision = Number(answer.header.revision)
    if (answer.succeeded) {
      for (const key of keys) known.set(key, deletes.includes(key) ? ABSENT : { revision, lease })
      return { revision }
    }
    for (const [key, found] of foundIn(keys, answer)) {
      if (found !== undefined && !mayTake(found)) return { refused: found }
      known.set(key, knownOf(found))
    }
  }
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

function foundIn(keys: readonly string[], { responses }: ITxnResponse): [string, KeyValue | undefined][] {
  return keys.map((key, i) => {
    const kv = responses[i]?.response_range?.kvs[0]
    return [key, kv && keyValueOf(kv)]
  })
}
