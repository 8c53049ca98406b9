import { EventEmitter } from 'node:events'
import type { Discovery, InstanceStatus, Registry } from '@etcd-register/core'
import { Calls } from './calls.ts'

/** One line of the table. */
export interface Row {
  readonly id: string
  readonly address: string
  readonly pid: string
  readonly status: InstanceStatus
  /** When the consumer learnt of it, on the clock of `performance.now()`. */
  readonly since: number
  readonly answered: number
  readonly failed: number
}

/** Discovers `orders` and calls its instances. Emits `update` when anything changed. */
export class Consumer extends EventEmitter<{ update: [] }> {
  readonly #discovery: Discovery
  readonly #signal: AbortSignal
  readonly #since = new Map<string, number>()
  readonly calls: Calls

  /** The signal ends all waiting. */
  constructor(registry: Registry, signal: AbortSignal) {
    super()
    this.#signal = signal
    this.#discovery = registry.discover('orders')
    this.calls = new Calls(this.#discovery)
    this.#discovery
      .on('change', ({ added, removed }) => {
        for (const { id } of added) this.#since.set(id, performance.now())
        for (const { id } of removed) this.#since.delete(id)
        this.emit('update')
      })
      .on('stale', () => this.emit('update'))
      .on('fresh', () => this.emit('update'))
    this.calls.on('done', () => this.emit('update'))
  }

  /** Resolves when it knows all instances and is told of every change. */
  async ready(): Promise<void> {
    await this.#discovery.ready({ signal: this.#signal })
    await this.until(() => this.staleSince === undefined, 'the table is fresh', 10_000)
  }

  get rows(): Row[] {
    return this.#discovery.instances.map(({ id, host, port, status, metadata }) => ({
      ...{ id, status, address: `${host}:${port}`, pid: metadata.pid ?? '' },
      since: this.#since.get(id) ?? performance.now(),
      ...this.calls.to(id),
    }))
  }

  get staleSince(): Date | undefined {
    return this.#discovery.staleSince
  }

  row(id: string): Row | undefined {
    return this.rows.find(row => row.id === id)
  }

  /** Resolves with the time at which the condition held; rejects if it does not within `limit` ms. */
  until(condition: () => boolean, what: string, limit: number): Promise<number> {
    return new Promise((resolve, reject) => {
      const check = () => condition() && end(() => resolve(performance.now()))
      const abort = () => end(() => reject(this.#signal.reason))
      const late = () => end(() => reject(new Error(`${what}: not within ${limit / 1000} s`)))
      const timer = setTimeout(late, limit)
      const end = (settle: () => void) => {
        clearTimeout(timer)
        this.off('update', check)
        this.#signal.removeEventListener('abort', abort)
        settle()
      }
      this.on('update', check)
      this.#signal.addEventListener('abort', abort)
      if (this.#signal.aborted) abort()
      else check()
    })
  }
}
