import { EventEmitter } from 'node:events'
import type { Discovery } from '@etcd-register/core'

/** Between two calls, and how long one may take, in ms. */
const PACE = 20
const TIMEOUT = 2000

/** What came of the calls to one instance. */
export interface Tally {
  answered: number
  failed: number
}

/** Calls the instances of a discovery in turn, and counts. */
export class Calls extends EventEmitter<{ done: []; failure: [text: string] }> {
  readonly #discovery: Discovery
  readonly #tallies = new Map<string, Tally>()
  readonly #crashed = new Set<string>()
  readonly #open = new Set<Promise<void>>()
  #timer: NodeJS.Timeout | undefined
  requests = 0
  /** Those that failed, but not to an instance that had crashed. */
  failed = 0
  failedAfterCrash = 0

  constructor(discovery: Discovery) {
    super()
    this.#discovery = discovery
    discovery.on('change', ({ removed }) => {
      for (const { id } of removed) this.#tallies.delete(id)
    })
  }

  /** Can be called again. */
  start(): void {
    this.#timer ??= setInterval(() => {
      const call = this.#call().finally(() => this.#open.delete(call))
      this.#open.add(call)
    }, PACE)
  }

  /** Resolves when the calls under way have ended. */
  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all(this.#open)
  }

  /** From now on calls to it that fail count as failed after a crash. */
  expectFailures(id: string): void {
    this.#crashed.add(id)
  }

  to(id: string): Tally {
    const tally = this.#tallies.get(id) ?? { answered: 0, failed: 0 }
    this.#tallies.set(id, tally)
    return tally
  }

  async #call(): Promise<void> {
    this.requests += 1
    const instance = this.#discovery.pick()
    const tally = this.to(instance?.id ?? '')
    try {
      if (instance === undefined) throw new Error('nobody to call')
      const signal = AbortSignal.timeout(TIMEOUT)
      const response = await fetch(`${instance.endpoints[0]}/orders/${this.requests}`, { signal })
      const { servedBy } = (await response.json()) as { servedBy: string }
      if (!response.ok || servedBy !== instance.id) throw new Error(`${response.status} from ${servedBy}`)
      tally.answered += 1
    } catch (error) {
      tally.failed += 1
      if (this.#crashed.has(instance?.id ?? '')) this.failedAfterCrash += 1
      else this.#fail(instance?.id, error as Error)
    }
    this.emit('done')
  }

  #fail(id: string | undefined, { message, cause }: Error): void {
    this.failed += 1
    this.emit('failure', `a call ${id ? `to ${id} ` : ''}failed: ${(cause as Error)?.message ?? message}`)
  }
}
