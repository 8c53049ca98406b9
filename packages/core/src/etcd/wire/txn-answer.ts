import type { ITxnRequest } from 'etcd3'
import type { KeyValue } from './key-value.ts'
import { Fields, InvalidAnswer, isRevision, revisionIn } from './message-fields.ts'
import { MessageRow } from './message-row.ts'

/** What etcd says to a transaction: its TxnResponse. */
export interface TxnAnswer {
  /** etcd's revision after it. */
  readonly revision: number
  readonly succeeded: boolean
  /** For each operation the row that it read, if it is a read and the key is there. */
  readonly found: readonly (KeyValue | undefined)[]
}

/**
 * Reads a TxnResponse to this request, whose reads are of one key each. Throws `InvalidAnswer` where the message is broken,
 * or does not fit the request: etcd3's decoder makes an object of each response, however many there are.
 */
export function decodeTxn(message: Buffer, { success = [], failure = [] }: ITxnRequest): TxnAnswer {
  let revision = 0
  let succeeded = false
  const found: (MessageRow | undefined)[] = []
  const most = Math.max(success.length, failure.length)
  const fields = new Fields(message, 0, message.length)
  while (fields.next()) {
    if (fields.id === 1) revision = revisionIn(message, fields.from, fields.to)
    else if (fields.id === 2) succeeded = fields.number > 0
    else if (fields.id === 3) {
      if (found.length === most) throw new InvalidAnswer(`more than ${most} responses to ${most} operations`)
      found.push(rowIn(message, fields.from, fields.to))
    }
  }
  if (!isRevision(revision)) throw new InvalidAnswer(`revision ${revision}`)
  const operations = succeeded ? success : failure
  if (found.length !== operations.length)
    throw new InvalidAnswer(`${found.length} responses to ${operations.length} operations`)
  for (const [i, row] of found.entries()) {
    if (row === undefined) continue
    const operation = operations[i]!
    const asked = 'request_range' in operation ? (operation.request_range!.key as Buffer) : undefined
    if (!asked?.equals(row.keyBytes)) throw new InvalidAnswer('another key than was asked for')
    if (row.revision < 1 || row.revision > revision)
      throw new InvalidAnswer(`a row has revision ${row.revision}, etcd ${revision}`)
  }
  return { revision, succeeded, found: found.map(row => row && kept(row)) }
}

/** The row in a ResponseOp that is a RangeResponse, if it has one. */
function rowIn(message: Buffer, from: number, to: number): MessageRow | undefined {
  const response = new Fields(message, from, to)
  let row: MessageRow | undefined
  while (response.next()) {
    if (response.id !== 1) continue
    const range = new Fields(message, response.from, response.to)
    while (range.next()) {
      if (range.id !== 2) continue
      if (row !== undefined) throw new InvalidAnswer('several rows of one key')
      row = new MessageRow(message, range.from, range.to)
    }
  }
  return row
}

/** Without the message that it is a part of. */
function kept({ key, value, revision, created, lease }: MessageRow): KeyValue {
  return { key, value: Buffer.from(value), revision, created, lease }
}
