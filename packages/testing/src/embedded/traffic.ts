import { checkWhole } from '../whole-number.ts'
import { EtcdError } from './errors.ts'

/** Counts calls by the name of their RPC, and lets a test make some of them fail. */
export class Traffic {
  readonly #names = new Set<string>()
  readonly #counts = new Map<string, number>()
  readonly #received = new Map<string, number>()
  readonly #open = new Map<string, number>()
  readonly #faults = new Map<string, EtcdError[]>()

  /** Tells which RPCs there are. */
  serves(rpcs: Iterable<string>): void {
    for (const rpc of rpcs) this.#names.add(rpc)
  }

  /** To call when a call comes in; throws the failure that waits for it. */
  arrive(rpc: string): void {
    this.#counts.set(rpc, (this.#counts.get(rpc) ?? 0) + 1)
    const fault = this.#faults.get(rpc)?.shift()
    if (fault !== undefined) throw fault
  }

  /** A stream that was opened; returns what to call when it has ended. */
  open(rpc: string): () => void {
    const add = (more: number) => this.#open.set(rpc, this.openStreams(rpc) + more)
    add(1)
    let end = () => {
      end = () => {}
      add(-1)
    }
    return () => end()
  }

  openStreams(rpc: string): number {
    return this.#open.get(rpc) ?? 0
  }

  /** A message on a stream. */
  receive(rpc: string): void {
    this.#received.set(rpc, (this.#received.get(rpc) ?? 0) + 1)
  }

  /** Under the names that etcd has for them. */
  samples(): Map<string, number> {
    const samples = new Map<string, number>()
    const add = (metric: string, rpc: string, value: number) =>
      samples.set(`grpc_server_${metric}_total{grpc_method="${rpc}"}`, value)
    for (const [rpc, count] of this.#counts) add('started', rpc, count)
    for (const [rpc, count] of this.#received) add('msg_received', rpc, count)
    return samples
  }

  get counts(): Record<string, number> {
    return Object.fromEntries(this.#counts)
  }

  failNext(rpc: string, code: number, message = 'etcdserver: failed, as failNext() wanted it'): void {
    if (!this.#names.has(rpc)) {
      throw new RangeError(`No RPC is called ${rpc}; there are ${[...this.#names].join(', ')}`)
    }
    checkWhole('The gRPC status of failNext()', code, 1, 16)
    const waiting = this.#faults.get(rpc) ?? []
    this.#faults.set(rpc, waiting)
    waiting.push(new EtcdError(code, message))
  }
}
