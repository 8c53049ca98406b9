import { createRequire } from 'node:module'
import type { ServiceDefinition } from '@grpc/grpc-js'
import { fromJSON, loadSync, type PackageDefinition } from '@grpc/proto-loader'
import { NEWER, withNewer } from './newer.ts'

/**
 * A 64-bit integer of etcd's messages. Those that come in are decimal strings and stay exact. What we count ourselves,
 * from 1 on (revisions, versions), is a number: it cannot reach 2^53.
 */
export type Int64 = string

/** A revision or version that a client named. Beyond 2^53 it only has to stay greater than any that exists. */
export function counter(text: Int64 = '0'): number {
  return Number(text)
}

export interface KeyValue {
  readonly key: Buffer
  readonly create_revision: number
  readonly mod_revision: number
  /** Puts since the key was created; 0 in what a delete leaves. */
  readonly version: number
  readonly value: Buffer
  readonly lease: Int64
}

export const PUT = 0
export const DELETE = 1

export interface Event {
  readonly type: typeof PUT | typeof DELETE
  readonly kv: KeyValue | { key: Buffer; mod_revision: number }
  readonly prev_kv?: KeyValue | undefined
}

export interface ResponseHeader {
  readonly cluster_id: string
  readonly member_id: string
  readonly revision: number
  readonly raft_term: number
}

// Fields of requests are there only if they were sent: etcd tells an empty `range_end` from none.

export interface RangeRequest {
  key?: Buffer
  range_end?: Buffer
  limit?: Int64
  revision?: Int64
  sort_order?: number
  sort_target?: number
  keys_only?: boolean
  count_only?: boolean
  min_mod_revision?: Int64
  max_mod_revision?: Int64
  min_create_revision?: Int64
  max_create_revision?: Int64
}

export interface PutRequest {
  key?: Buffer
  value?: Buffer
  lease?: Int64
  prev_kv?: boolean
  ignore_value?: boolean
  ignore_lease?: boolean
}

export interface DeleteRangeRequest {
  key?: Buffer
  range_end?: Buffer
  prev_kv?: boolean
}

/** Exactly one of them is there, or none in a request that etcd refuses. */
export interface RequestOp {
  request_range?: RangeRequest
  request_put?: PutRequest
  request_delete_range?: DeleteRangeRequest
  request_txn?: TxnRequest
}

export interface Compare {
  result?: number
  target?: number
  key?: Buffer
  range_end?: Buffer
  version?: Int64
  create_revision?: Int64
  mod_revision?: Int64
  value?: Buffer
  lease?: Int64
}

export interface TxnRequest {
  compare: Compare[]
  success: RequestOp[]
  failure: RequestOp[]
}

export interface WatchCreateRequest {
  key?: Buffer
  range_end?: Buffer
  start_revision?: Int64
  progress_notify?: boolean
  filters: number[]
  prev_kv?: boolean
  watch_id?: Int64
  fragment?: boolean
}

export interface WatchRequest {
  create_request?: WatchCreateRequest
  cancel_request?: { watch_id?: Int64 }
  progress_request?: object
}

/** Where the published etcd client keeps etcd's own definitions of its messages, as they were in etcd 3.4. */
const RPC_PROTO = createRequire(import.meta.url).resolve('etcd3/proto/rpc.proto')

const OPTIONS = {
  keepCase: true,
  longs: String,
  enums: Number as never, // numbers, as they are on the wire
  arrays: true,
}

let loaded: PackageDefinition | undefined

/** The definition of one of etcd's services, such as `etcdserverpb.KV`. */
export function serviceDefinition(name: string): ServiceDefinition {
  loaded ??= withNewer(loadSync(RPC_PROTO, OPTIONS), fromJSON(NEWER as never, OPTIONS))
  return loaded[name] as ServiceDefinition
}

/** What is left out on the wire: fields that have their default. */
export function withoutDefaults(message: object): object {
  const kept: Record<string, unknown> = {}
  for (const [name, value] of Object.entries(message)) {
    if (Array.isArray(value)) {
      if (value.length > 0) kept[name] = value.map(item => (isMessage(item) ? withoutDefaults(item) : item))
    } else if (Buffer.isBuffer(value)) {
      if (value.length > 0) kept[name] = value
    } else if (isMessage(value)) kept[name] = withoutDefaults(value)
    // 64-bit numbers are text
    else if (value && value !== '0') kept[name] = value
  }
  return kept
}

const isMessage = (value: unknown): value is object =>
  typeof value === 'object' && value !== null && !Buffer.isBuffer(value)
