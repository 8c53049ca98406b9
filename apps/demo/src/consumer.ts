import { EventEmitter } from 'node:events'
import type { Discovery, InstanceStatus, Registry } from '@etcd-register/core'

/** Between two calls, and how long one may take, in ms. */
const PACE = 20
const CALL_TIMEOUT = 2000

/** One line of the table. */
export interface Row {
  readonly id: string
  readonly address: string
  readonly pid: string
  readonly status: InstanceStatus
  /** When the consumer learnt of it, on the clock of `performance.now()`. */
  readonly since: number
  readonly calls: number
  readonly failed: number
}

interface Tally {
  since: number
  calls: number
  failed: number
}

/** Discovers `orders` and calls its instances in turn. Emits `update` when anything changed. */
export class Consumer extends EventEmitter<{ update: []; failure: [text: string] }> {
  readonly #discovery: Discovery
  readonly #signal: AbortSignal
  readonly #tallies = new Map<string, Tally>()
  readonly #crashed = new Set<string>()
  readonly #open = new Set<Promise<void>>()
  #caller: NodeJS.Timeout | undefined
  requests = 0
  /** Calls that failed, but not to an instance that had crashed. */
  failed = 0
  failedAfterCrash = 0

  /** The signal ends all waiting. */
  constructor(registry: Registry, signal: AbortSignal) {
    super()
    this.#signal = signal
    this.#discovery = registry.discover('orders')
    this.#discovery
      .on('change', ({ removed }) => {
        for (const { id } of this.#discovery.instances) this.#tally(id)
        for (const { id } of removed) this.#tallies.delete(id)
        this.emit('update')
      })
      .on('stale', () => this.emit('update'))
      .on('fresh', () => this.emit('update'))
  }

  ready(): Promise<void> {
    return this.#discovery.ready({ signal: this.#signal })
  }

  get rows(): Row[] {
    return this.#discovery.instances.map(({ id, host, port, status, metadata }) => ({
      ...{ id, status, address: `${host}:${port}`, pid: metadata.pid ?? '' },
      ...this.#tally(id),
    }))
  }

  get staleSince(): Date | undefined {
    return this.#discovery.staleSince
  }

  row(id: string): Row | undefined {
    return this.rows.find(row => row.id === id)
  }

  startCalling(): void {
    this.#caller = setInterval(() => {
      const call = this.#call().finally(() => this.#open.delete(call))
      this.#open.add(call)
    }, PACE)
  }

  /** From now on calls to it that fail count as failed after a crash. */
  expectFailures(id: string): void {
    this.#crashed.add(id)
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

  /** No more calls; resolves when those under way have ended. */
  async stop(): Promise<void> {
    clearInterval(this.#caller)
    await Promise.all(this.#open)
    await this.#discovery.close()
  }

  async #call(): Promise<void> {
    this.requests += 1
    const instance = this.#discovery.pick()
    const tally = instance && this.#tally(instance.id)
    try {
      if (instance === undefined) throw new Error('nobody to call')
      const signal = AbortSignal.timeout(CALL_TIMEOUT)
      const response = await fetch(`${instance.endpoints[0]}/orders/${this.requests}`, { signal })
      const { servedBy } = (await response.json()) as { servedBy: string }
      if (!response.ok || servedBy !== instance.id) throw new Error(`${response.status} from ${servedBy}`)
      tally!.calls += 1
    } catch (error) {
      if (tally !== undefined) tally.failed += 1
      if (this.#crashed.has(instance?.id ?? '')) this.failedAfterCrash += 1
      else this.#fail(instance?.id, error as Error)
    }
    this.emit('update')
  }

  #fail(id: string | undefined, { message, cause }: Error): void {
    this.failed += 1
    this.emit('failure', `a call ${id ? `to ${id} ` : ''}failed: ${(cause as Error)?.message ?? message}`)
  }

  #tally(id: string): Tally {
    const tally = this.#tallies.get(id) ?? { since: performance.now(), calls: 0, failed: 0 }
    this.#tallies.set(id, tally)
    return tally
  }
}
