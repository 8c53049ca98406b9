import type { Access } from './access.ts'
import { refused } from './errors.ts'
import { keyRange, keyText } from './key-range.ts'
import type { Leases } from './leases.ts'
import { dropEmptyEnd, dropEmptyEnds, isReadOnly } from './raft.ts'
import { checkRange, checkRangeInTxn, readRange } from './range.ts'
import { NO_LEASE, type Reader, type Store, type Writer } from './store.ts'
import { type Branch, checkTxn, chooseBranch, operations } from './txn.ts'
import type { DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest } from './wire.ts'

const EMPTY = Buffer.alloc(0)

const present = (kv: unknown) => (kv === undefined ? {} : { prev_kv: kv })

/** What the requests of etcd's KV service mean. Answers carry no header but those within a transaction. */
export class Kv {
  readonly #store: Store
  readonly #leases: Leases
  readonly #maxTxnOps: number

  constructor(store: Store, leases: Leases, maxTxnOps: number) {
    this.#store = store
    this.#leases = leases
    this.#maxTxnOps = maxTxnOps
  }

  range(request: RangeRequest, access: Access): object {
    if (!request.key?.length) throw refused('emptyKey')
    access.read(keyRange(request))
    checkRange(this.#store, request)
    return readRange(this.#store, request)
  }

  put(request: PutRequest, access: Access): object {
    checkOp({ request_put: request })
    this.#mayPut(request, access)
    this.#checkLease(request)
    this.#checkPut(request)
    return this.#store.write(writer => this.#put(writer, request))
  }

  deleteRange(request: DeleteRangeRequest, access: Access): object {
    checkOp({ request_delete_range: request })
    dropEmptyEnd(request)
    mayDelete(request, access)
    return this.#store.write(writer => remove(writer, request))
  }

  txn(request: TxnRequest, access: Access): object {
    checkTxn(request, this.#maxTxnOps, checkOp)
    if (!isReadOnly(request)) dropEmptyEnds(request)
    this.#mayTxn(request, access)
    const branch = chooseBranch(this.#store, request)
    for (const { request_put: put } of operations(branch)) if (put) this.#checkPut(put)
    for (const { request_range: range } of operations(branch)) if (range) checkRangeInTxn(this.#store, range)
    return this.#store.write(writer => this.#carryOut(writer, branch))
  }

  compact(revision: number): void {
    this.#store.compact(revision)
  }

  /** Refuses what would fail, since nothing may fail once the first write is done. */
  #checkPut(request: PutRequest): void {
    const { key, ignore_value, ignore_lease } = request
    if ((ignore_value || ignore_lease) && this.#store.get(key!) === undefined) throw refused('keyNotFound')
    this.#checkLease(request)
  }

  #checkLease({ lease = NO_LEASE }: PutRequest): void {
    if (lease !== NO_LEASE) this.#leases.find(lease)
  }

  #put(writer: Writer, request: PutRequest): object {
    const { value = EMPTY, lease = NO_LEASE, prev_kv, ignore_value, ignore_lease } = request
    const key = request.key!
    const before = writer.get(key)
    writer.put(key, ignore_value ? before!.value : value, ignore_lease ? before!.lease : lease)
    return prev_kv ? present(before) : {}
  }

  #carryOut(writer: Writer, { succeeded, ops }: Branch): object {
    const responses = ops.map(({ op, nested }) =>
      nested === undefined
        ? this.#apply(writer, op)
        : { response_txn: withRevision(writer, this.#carryOut(writer, nested), false) },
    )
    return { succeeded, responses }
  }

  #apply(writer: Writer, op: RequestOp): object {
    if (op.request_range) {
      return { response_range: withRevision(writer, readRange(writer, op.request_range)) }
    }
    if (op.request_put) {
      return { response_put: withRevision(writer, this.#put(writer, op.request_put)) }
    }
    return { response_delete_range: withRevision(writer, remove(writer, op.request_delete_range!)) }
  }

  #mayPut({ key, lease = NO_LEASE, prev_kv }: PutRequest, access: Access): void {
    const one = { start: keyText(key!), end: undefined }
    access.write(one)
    // its end would delete all of its keys
    if (lease !== NO_LEASE)
      for (const start of this.#leases.keysOf(lease)) access.write({ start, end: undefined })
    if (prev_kv) access.read(one)
  }

  #mayTxn({ compare, success, failure }: TxnRequest, access: Access): void {
    for (const item of compare) access.read(keyRange(item))
    for (const op of [...success, ...failure]) {
      if (op.request_range) access.read(keyRange(op.request_range))
      if (op.request_put) this.#mayPut(op.request_put, access)
      if (op.request_delete_range) mayDelete(op.request_delete_range, access)
      if (op.request_txn) this.#mayTxn(op.request_txn, access)
    }
  }
}

function withRevision(reader: Reader, answer: object, header = true): object {
  return { header: header ? { revision: reader.revision } : {}, ...answer }
}

function remove(writer: Writer, request: DeleteRangeRequest): object {
  const prev_kvs = writer.delete(keyRange(request))
  return { deleted: prev_kvs.length, ...(request.prev_kv && { prev_kvs }) }
}

function mayDelete(request: DeleteRangeRequest, access: Access): void {
  access.write(keyRange(request))
  if (request.prev_kv) access.read(keyRange(request))
}

/** Refuses an operation that etcd would not even start. */
function checkOp({ request_range, request_put, request_delete_range }: RequestOp): void {
  const request = request_range ?? request_put ?? request_delete_range
  if (!request) throw refused('keyNotFound')
  if (!request.key?.length) throw refused('emptyKey')
  if (request_put?.ignore_value && request_put.value?.length) throw refused('valueProvided')
  if (request_put?.ignore_lease && (request_put.lease ?? NO_LEASE) !== NO_LEASE)
    throw refused('leaseProvided')
}
