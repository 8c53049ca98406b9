import { type Access } from './access.ts'
import type { Backend } from './backend.ts'
import { EtcdError } from './errors.ts'
import { type KeyRange, keyText } from './key-range.ts'
import { type Event, type Int64, type KeyValue, type RangeRequest, type RequestOp } from './wire.ts'

/** Seconds of the lease that who brings none is given. */
const LEASE = '60'

const EQUAL = 0
const CREATE = 1
const ASCEND = 1
const BY_CREATION = 2
const UNKNOWN = 2

interface TxnAnswer {
  readonly succeeded: boolean
  readonly responses: readonly { readonly response_range: { readonly kvs: readonly KeyValue[] } }[]
}

/** A change of one place in a queue, and the revision that the store had when it was told. */
interface Told {
  readonly event: Event
  readonly revision: number
}

/** Keys below a name, in the order in which they were created: the first is whose turn it is. */
export class Queue {
  readonly #backend: Backend
  readonly #access: Access
  readonly #name: Buffer

  constructor(backend: Backend, access: Access, name: Buffer | undefined) {
    this.#backend = backend
    this.#access = access
    this.#name = name ?? Buffer.alloc(0)
  }

  /** The lease that was brought, or a new one. */
  lease(brought: Int64 = '0'): Int64 {
    if (brought !== '0') return brought
    const { leases, rules } = this.#backend
    if (rules.guardsLeasesAndStatus) this.#access.beSomebody()
    this.#access.propose()
    return leases.grant({ TTL: LEASE }).id
  }

  /** Stands in line for a lease, where it may already stand. */
  join(lease: Int64, value: Buffer): { key: Buffer; place: KeyValue | undefined; revision: number } {
    const key = Buffer.concat([this.#name, Buffer.from(`/${hex(lease)}`)])
    const { succeeded, responses } = this.#txn(
      { key, revision: '0' },
      { request_put: { key, value, lease } },
      { request_range: { key } },
    )
    const place = succeeded ? undefined : responses[0]!.response_range.kvs[0]
    return { key, place, revision: place?.create_revision ?? this.#backend.store.revision }
  }

  /** Does it where the key is still of the revision at which it was created. */
  ifSince(key: Buffer, revision: Int64, op: RequestOp): boolean {
    return this.#txn({ key, revision }, op).succeeded
  }

  #txn(created: { key: Buffer; revision: Int64 }, op: RequestOp, otherwise?: RequestOp): TxnAnswer {
    const { key, revision } = created
    const compare = [{ key, target: CREATE, result: EQUAL, create_revision: revision }]
    const request = { compare, success: [op], failure: otherwise === undefined ? [] : [otherwise] }
    return this.#backend.kv.txn(request, this.#access) as TxnAnswer
  }

  first(): KeyValue | undefined {
    const order = { sort_order: ASCEND, sort_target: BY_CREATION, limit: '1' }
    return this.#read({ ...this.#all(), ...order })[0]
  }

  has(key: Buffer): boolean {
    return this.#read({ key }).length > 0
  }

  #read(request: RangeRequest): KeyValue[] {
    return (this.#backend.kv.range(request, this.#access) as { kvs: KeyValue[] }).kvs
  }

  /** Until nobody is before a revision. */
  async turn(revision: number, signal: AbortSignal): Promise<void> {
    const isTurn = () => (this.first()?.create_revision ?? revision) >= revision
    if (isTurn()) return
    for await (const _ of this.changes(signal)) if (isTurn()) return
    throw new EtcdError(UNKNOWN, 'context canceled')
  }

  /** All that happens from now on, until the signal. */
  async *changes(signal: AbortSignal): AsyncGenerator<Told> {
    const { hub, store } = this.#backend
    const told: Told[] = []
    let wake = () => {}
    const options = { range: this.#range(), from: store.revision + 1, filters: [], prevKv: false }
    const watch = hub.open(options, {
      isFull: () => false,
      events(events, revision) {
        told.push(...events.map(event => ({ event, revision })))
        wake()
      },
      compacted() {},
      failed() {},
    })
    signal.addEventListener('abort', () => wake())
    try {
      while (!signal.aborted) {
        yield* told.splice(0)
        if (told.length > 0) continue
        await new Promise<void>(resolve => {
          wake = resolve
        })
      }
    } finally {
      watch.end()
    }
  }

  /** After `NAME/` comes `NAME0`. */
  #all() {
    const [key, range_end] = ['/', '0'].map(end => Buffer.concat([this.#name, Buffer.from(end)]))
    return { key: key!, range_end: range_end! }
  }

  #range(): KeyRange {
    const { key, range_end } = this.#all()
    return { start: keyText(key), end: keyText(range_end) }
  }
}

const hex = (lease: Int64) => BigInt(lease).toString(16)

/** Refusals come without their code: etcd asks itself as a client, and passes on what it is told. */
export async function withoutCodes<Result>(run: () => Result | Promise<Result>): Promise<Result> {
  try {
    return await run()
  } catch (error) {
    throw new EtcdError(UNKNOWN, (error as Error).message)
  }
}

export const unknown = (text: string): EtcdError => new EtcdError(UNKNOWN, text)
