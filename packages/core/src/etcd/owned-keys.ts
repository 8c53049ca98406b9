import type { ICompare, IRequestOp, ITxnResponse } from 'etcd3'
import type { Connection } from './connection.ts'
import { type KeyValue, keyValueOf } from './key-value.ts'

export interface OwnedWrite {
  puts: readonly { key: string; value: string }[]
  deletes: readonly string[]
  lease: string
  /** mod_revision of each key as last known, 0 for none; corrected here. */
  revisions: Map<string, number>
  /** Whether what stands there may be overwritten or deleted. */
  mayTake(found: KeyValue): boolean
}

/**
 * Puts and deletes in one transaction that compares each key's revision: it never touches what somebody else wrote
 * since. Gives the key that is not ours if there is one.
 */
export async function writeOwned(
  connection: Connection,
  { puts, deletes, lease, revisions, mayTake }: OwnedWrite,
): Promise<{ revision: number } | { refused: KeyValue }> {
  const keys = [...puts.map(({ key }) => key), ...deletes]
  const write: IRequestOp[] = [
    ...puts.map(({ key, value }) => ({
      request_put: { key: Buffer.from(key), value: Buffer.from(value), lease },
    })),
    ...deletes.map(key => ({ request_delete_range: { key: Buffer.from(key) } })),
  ]
  for (;;) {
    const compare = keys.map(key => ({
      key: Buffer.from(key),
      target: 'Mod',
      result: 'Equal',
      mod_revision: String(revisions.get(key) ?? 0),
    })) as unknown as ICompare[]
    const answer = await connection.txn({ compare, success: write, failure: reads(keys) })
    const revision = Number(answer.header.revision)
    if (answer.succeeded) {
      for (const key of keys) revisions.set(key, deletes.includes(key) ? 0 : revision)
      return { revision }
    }
    for (const [key, found] of foundIn(keys, answer)) {
      if (found !== undefined && !mayTake(found)) return { refused: found }
      revisions.set(key, found?.revision ?? 0)
    }
  }
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
