import { refused } from './errors.ts'
import { contains, type KeyRange, keyRange, keyText } from './key-range.ts'
import type { Reader } from './store.ts'
import type { Compare, DeleteRangeRequest, KeyValue, RequestOp, TxnRequest } from './wire.ts'
import { counter } from './wire.ts'

const VERSION = 0
const CREATE = 1
const MOD = 2
const VALUE = 3
const LEASE = 4

/** Refuses a transaction that etcd would not even start. */
export function checkTxn(txn: TxnRequest, maxOps: number, checkOp: (op: RequestOp) => void): void {
  checkShape(txn, maxOps, checkOp)
  checkOverlap(txn.success)
  checkOverlap(txn.failure)
}

function checkShape(txn: TxnRequest, maxOps: number, checkOp: (op: RequestOp) => void): void {
  const ops = Math.max(txn.compare.length, txn.success.length, txn.failure.length)
  if (ops > maxOps) throw refused('tooManyOps')
  for (const { key } of txn.compare) if (!key?.length) throw refused('emptyKey')
  for (const op of [...txn.success, ...txn.failure]) {
    if (op.request_txn) checkShape(op.request_txn, maxOps - ops, checkOp)
    else checkOp(op)
  }
}

interface Touched {
  puts: Set<string>
  deletes: KeyRange[]
}

/** Refuses two writes of one key that could both happen. Two deletes may overlap. */
function checkOverlap(ops: readonly RequestOp[]): Touched {
  const puts = new Set<string>()
  const deletes: KeyRange[] = []
  const isDeleted = (key: string) => deletes.some(range => contains(range, key))
  for (const { request_delete_range: request } of ops) if (request) deletes.push(rangeAsCompared(request))
  for (const { request_txn: txn } of ops) {
    if (!txn) continue
    const then = checkOverlap(txn.success)
    const otherwise = checkOverlap(txn.failure)
    for (const key of then.puts) {
      if (puts.has(key) || isDeleted(key)) throw refused('duplicateKey')
    }
    for (const key of otherwise.puts) {
      if (puts.has(key) || isDeleted(key)) throw refused('duplicateKey')
    }
    for (const key of [...then.puts, ...otherwise.puts]) puts.add(key)
    deletes.push(...then.deletes, ...otherwise.deletes)
  }
  for (const { request_put: request } of ops) {
    if (!request) continue
    const key = keyText(request.key!)
    if (puts.has(key) || isDeleted(key)) throw refused('duplicateKey')
    puts.add(key)
  }
  return { puts, deletes }
}

/** Here etcd takes an end that is empty for none, and a zero byte for what it is: an end before all keys. */
function rangeAsCompared({ key, range_end: end }: DeleteRangeRequest): KeyRange {
  return { start: keyText(key!), end: end?.length ? keyText(end) : undefined }
}

/** One branch of a transaction that was chosen before anything was written, nested ones included. */
export interface Branch {
  readonly succeeded: boolean
  readonly ops: readonly { readonly op: RequestOp; readonly nested: Branch | undefined }[]
}

export function chooseBranch(reader: Reader, txn: TxnRequest): Branch {
  const succeeded = txn.compare.every(compare => holds(reader, compare))
  const ops = (succeeded ? txn.success : txn.failure).map(op => ({
    op,
    nested: op.request_txn ? chooseBranch(reader, op.request_txn) : undefined,
  }))
  return { succeeded, ops }
}

/** All operations that a branch carries out, those of nested transactions included. */
export function* operations({ ops }: Branch): Generator<RequestOp> {
  for (const { op, nested } of ops) {
    if (nested === undefined) yield op
    else yield* operations(nested)
  }
}

function holds(reader: Reader, compare: Compare): boolean {
  const found = reader.list(keyRange(compare))
  if (found.length > 0) return found.every(kv => matches(compare, kv))
  // a key that is not there has no value, not even an empty one
  return compare.target !== VALUE && matches(compare, undefined)
}

function matches(compare: Compare, kv: KeyValue | undefined): boolean {
  const order = compareTarget(compare, kv)
  return [order === 0, order > 0, order < 0, order !== 0][compare.result ?? 0] ?? true
}

function compareTarget(compare: Compare, kv: KeyValue | undefined): number {
  switch (compare.target ?? VERSION) {
    case VERSION:
      return (kv?.version ?? 0) - counter(compare.version)
    case CREATE:
      return (kv?.create_revision ?? 0) - counter(compare.create_revision)
    case MOD:
      return (kv?.mod_revision ?? 0) - counter(compare.mod_revision)
    case VALUE:
      return Buffer.compare(kv!.value, compare.value ?? Buffer.alloc(0))
    case LEASE: {
      const difference = BigInt(kv?.lease ?? 0) - BigInt(compare.lease ?? 0)
      return difference === 0n ? 0 : difference > 0n ? 1 : -1
    }
    default:
      return 0
  }
}
