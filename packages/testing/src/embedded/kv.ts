import type { Access } from './access.ts'
import { refused } from './errors.ts'
import { keyRange, keyText } from './key-range.ts'
import type { Leases } from './leases.ts'
import { permissionRange } from './permissions.ts'
import { dropEmptyEnd, dropEmptyEnds, isReadOnly } from './raft.ts'
import { checkRange, checkRangeInTxn, checkSortOptions, readRange } from './range.ts'
import { checkRangeStream, type RangeChunk, rangeChunks } from './range-stream.ts'
import { NO_LEASE, type Reader, type Store, type Writer } from './store.ts'
import { type Branch, checkTxn, chooseBranch, operations } from './txn.ts'
import type { Rules } from './version.ts'
import type { DeleteRangeRequest, PutRequest, RangeRequest, RequestOp, TxnRequest } from './wire.ts'

const EMPTY = Buffer.alloc(0)

const present = (kv: unknown) => (kv === undefined ? {} : { prev_kv: kv })

/** What the requests of etcd's KV service mean. Answers carry no header but those within a transaction. */
export class Kv {
  readonly #rules: Rules
  readonly #store: Store
  readonly #leases: Leases
  readonly #maxTxnOps: number

  constructor(rules: Rules, store: Store, leases: Leases, maxTxnOps: number) {
    this.#rules = rules
    this.#store = store
    this.#leases = leases
    this.#maxTxnOps = maxTxnOps
  }

  range(request: RangeRequest, access: Access): object {
    this.#checkOp({ request_range: request })
    access.read(permissionRange(request))
    if (!this.#rules.tellsEmptyEnds) dropEmptyEnd(request)
    checkRange(this.#store, request)
    return readRange(this.#rules, this.#store, request)
  }

  /** A range in chunks of about the size that is right for a message, all of one revision. */
  *rangeStream(request: RangeRequest, access: Access): Generator<RangeChunk> {
    this.#checkOp({ request_range: request })
    checkRangeStream(request)
    access.read(permissionRange(request))
    if (!this.#rules.tellsEmptyEnds) dropEmptyEnd(request)
    yield* rangeChunks(this.#rules, this.#store, request)
  }

  put(request: PutRequest, access: Access): object {
    this.#checkOp({ request_put: request })
    access.propose()
    this.#mayPut(request, access)
    this.#checkLease(request)
    this.#checkPut(request)
    return this.#store.write(writer => this.#put(writer, request))
  }

  deleteRange(request: DeleteRangeRequest, access: Access): object {
    this.#checkOp({ request_delete_range: request })
    access.propose()
    dropEmptyEnd(request)
    mayDelete(request, access)
    return this.#store.write(writer => remove(writer, request))
  }

  txn(request: TxnRequest, access: Access): object {
    checkTxn(request, this.#maxTxnOps, op => this.#checkOp(op))
    const readOnly = isReadOnly(request)
    if (readOnly) access.user()
    else access.propose()
    this.#mayTxn(request, access)
    if (!readOnly || !this.#rules.tellsEmptyEnds) dropEmptyEnds(request)
    const branch = chooseBranch(this.#store, request)
    this.#checkBranch(branch)
    return this.#store.write(writer => this.#carryOut(writer, branch))
  }

  compact(revision: number): void {
    this.#store.compact(revision)
  }

  #checkBranch(branch: Branch): void {
    const checkPut = ({ request_put: put }: RequestOp) => put && this.#checkPut(put)
    const checkRange = ({ request_range: range }: RequestOp) => range && checkRangeInTxn(this.#store, range)
    for (const op of operations(branch)) {
      checkPut(op)
      if (this.#rules.checksTxnsInOrder) checkRange(op)
    }
    if (!this.#rules.checksTxnsInOrder) for (const op of operations(branch)) checkRange(op)
  }

  /** Refuses what would fail by what is there before the first write. */
  #checkPut(request: PutRequest): void {
    const { key, ignore_value, ignore_lease } = request
    if (this.#rules.checksLeasesFirst) this.#checkLease(request)
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
    // deleted by the same transaction: etcd panics
    if ((ignore_value || ignore_lease) && before === undefined) throw refused('keyNotFound')
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
      return { response_range: withRevision(writer, readRange(this.#rules, writer, op.request_range)) }
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
    for (const item of compare) access.read(permissionRange(item))
    for (const op of [...success, ...failure]) {
      if (op.request_range) access.read(permissionRange(op.request_range))
      if (op.request_put) {
        if (this.#rules.guardsAllOfTxns) this.#mayPut(op.request_put, access)
        else access.write({ start: keyText(op.request_put.key!), end: undefined })
      }
      if (op.request_delete_range) mayDelete(op.request_delete_range, access)
      if (op.request_txn && this.#rules.guardsAllOfTxns) this.#mayTxn(op.request_txn, access)
    }
  }

  /** Refuses an operation that etcd would not even start. */
  #checkOp({ request_range, request_put, request_delete_range }: RequestOp): void {
    const request = request_range ?? request_put ?? request_delete_range
    if (!request) throw refused('keyNotFound')
    if (!request.key?.length) throw refused('emptyKey')
    if (request_range && this.#rules.checksSortOptions) checkSortOptions(request_range)
    if (request_put?.ignore_value && request_put.value?.length) throw refused('valueProvided')
    if (request_put?.ignore_lease && (request_put.lease ?? NO_LEASE) !== NO_LEASE)
      throw refused('leaseProvided')
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
  access.write(permissionRange(request))
  if (request.prev_kv) access.read(permissionRange(request))
}
