import type { TxnRequest } from './wire.ts'

// What writes goes through etcd's log, and comes out of it without the fields that were sent empty.

/** Makes an end that was sent but empty, which otherwise means all keys that follow, no end at all. */
export function dropEmptyEnd(request: { range_end?: Buffer }): void {
  if (request.range_end?.length === 0) delete request.range_end
}

export function dropEmptyEnds({ compare, success, failure }: TxnRequest): void {
  for (const item of compare) dropEmptyEnd(item)
  for (const { request_range, request_delete_range, request_txn } of [...success, ...failure]) {
    if (request_range) dropEmptyEnd(request_range)
    if (request_delete_range) dropEmptyEnd(request_delete_range)
    if (request_txn) dropEmptyEnds(request_txn)
  }
}

/** Whether a transaction goes past the log. A nested one never does. */
export function isReadOnly({ success, failure }: TxnRequest): boolean {
  return [...success, ...failure].every(({ request_range }) => request_range)
}
