import { type Balancer, type PickContext, resolveBalancer } from './balancers/index.ts'
import type { Clock } from './clock.ts'
import { Condition } from './condition.ts'
import { Emitter } from './emitter.ts'
import { abortedText, EtcdRegisterError, invalidOption } from './errors.ts'
import { inspectAs } from './inspect.ts'
import { isCallable } from './instance.ts'
import type { InstanceTable } from './instance-table.ts'
import type { TableChange } from './table-change.ts'
import { shown } from './text.ts'
import type { Change, DiscoverOptions, Discovery, DiscoveryEvents, Logger, ServiceInstance } from './types.ts'
import { signalOf, Waiters } from './waiters.ts'

/** What the registry shares between the discoveries of one name. */
export interface DiscoverySource {
  readonly name: string
  readonly table: InstanceTable
  readonly revision: number
  release(): void
}

/** One user's view of a table: its filter, its balancer, its events. */
export class TableDiscovery extends Emitter<DiscoveryEvents> implements Discovery {
  readonly name: string
  readonly #source: DiscoverySource
  readonly #filter: ((instance: ServiceInstance) => boolean) | undefined
  /** The filter throws. */
  readonly #throwing: Condition
  /** It did when it was last asked for all. */
  #threw = false
  readonly #zone: string | undefined
  readonly #balancer: Balancer
  readonly #unsubscribe: () => void
  readonly #onClose: () => void
  readonly #waiters = new Waiters()
  /** What the two lists below were made from. */
  #seen: readonly ServiceInstance[] | undefined
  #instances: readonly ServiceInstance[] = Object.freeze([])
  #candidates: readonly ServiceInstance[] | undefined
  #announced = false
  #closed = false
  #last: { instances: readonly ServiceInstance[]; revision: bigint; staleSince: Date | undefined } | undefined

  constructor(
    source: DiscoverySource,
    options: DiscoverOptions,
    { clock, logger }: { clock: Clock; logger: Logger },
    closed: () => void,
  ) {
    super(logger)
    const { filter, zone, balancer = 'round-robin' } = options
    if (filter !== undefined && typeof filter !== 'function')
      throw invalidOption('filter', 'a function', filter)
    if (zone !== undefined && typeof zone !== 'string') throw invalidOption('zone', 'a string', zone)
    this.name = source.name
    this.#source = source
    this.#onClose = closed
    this.#filter = filter && this.#guarded(filter)
    this.#throwing = new Condition(clock, logger)
    this.#zone = zone
    this.#balancer = resolveBalancer(balancer)
    this.#unsubscribe = source.table.subscribe({
      changed: change => this.#changed(change),
      stale: since => this.tell('stale', since),
      fresh: () => {
        this.#waiters.wake()
        this.tell('fresh')
      },
      failed: () => this.#waiters.wake(),
    })
    // Whoever comes later hears of those already there in the same way: as added.
    queueMicrotask(() => this.#announce())
  }

  async ready(options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    const signal = signalOf(options)
    const check = () => {
      this.#throwIfClosed()
      const { listed, ready, lastError } = this.#source.table
      if (!listed && lastError?.retryable === false) throw lastError
      return ready
    }
    const message = () => {
      const { listed, lastError } = this.#source.table
      return abortedText(`"${this.name}" is ${listed ? 'followed by a watch' : 'listed'}`, lastError)
    }
    await this.#waiters.until(check, { signal, message })
  }

  get instances(): readonly ServiceInstance[] {
    if (this.#last !== undefined) return this.#last.instances
    const all = this.#source.table.instances
    if (this.#seen === all) return this.#instances
    this.#seen = all
    const passed = this.#filter === undefined ? all : this.#passed(all, this.#filter)
    if (this.#filter !== undefined && sameMembers(passed, this.#instances)) return this.#instances
    this.#candidates = undefined
    this.#instances = Object.freeze(passed)
    return this.#instances
  }

  get stale(): boolean {
    return this.staleSince !== undefined
  }

  get staleSince(): Date | undefined {
    return this.#last === undefined ? this.#source.table.staleSince : this.#last.staleSince
  }

  get revision(): bigint {
    return this.#last === undefined ? BigInt(this.#source.revision) : this.#last.revision
  }

  pick(context?: PickContext): ServiceInstance | undefined {
    const { instances } = this
    this.#candidates ??= this.#callable(instances)
    return this.#balancer(this.#candidates, context)
  }

  close(): Promise<void> {
    if (this.#closed) return Promise.resolve()
    this.#last = { instances: this.instances, revision: this.revision, staleSince: new Date() }
    this.#closed = true
    this.#throwing.close()
    this.#unsubscribe()
    this.#source.release()
    this.#onClose()
    this.#waiters.wake()
    return Promise.resolve()
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  toJSON(): object {
    const { name, instances, stale, staleSince, revision } = this
    return { name, instances: instances.length, stale, staleSince, revision: String(revision) }
  }

  static {
    inspectAs('Discovery', TableDiscovery.prototype)
  }

  /** The table now, and again after each change; a slow reader gets the latest only. Ends with `close()`. */
  async *[Symbol.asyncIterator](): AsyncGenerator<readonly ServiceInstance[], void> {
    let given: readonly ServiceInstance[] | undefined
    while (!this.#closed) {
      if (this.#source.table.listed && this.instances !== given) {
        given = this.instances
        yield given
        continue
      }
      const seen = given
      await this.#waiters.until(() => this.#closed || (this.#source.table.listed && this.instances !== seen))
    }
  }

  /** What the filter throws for does not pass; it must not stop the events of others. */
  #guarded(filter: NonNullable<DiscoverOptions['filter']>) {
    return (instance: ServiceInstance): boolean => {
      try {
        return filter(instance)
      } catch (err) {
        this.#threw = true
        const { name: service } = this
        const message = `the filter of the discovery of "${service}" threw. What it throws for is left out; let it return true or false.`
        this.#throwing.begins('throws', { fields: { err, service, key: shown(instance.key) }, message })
        return false
      }
    }
  }

  #passed(all: readonly ServiceInstance[], filter: (instance: ServiceInstance) => boolean) {
    this.#threw = false
    const passed = all.filter(filter)
    const { name: service } = this
    const message = `the filter of the discovery of "${service}" throws no longer`
    if (!this.#threw) this.#throwing.ends(() => ({ fields: { service }, message }))
    return passed
  }

  #callable(instances: readonly ServiceInstance[]): readonly ServiceInstance[] {
    const up = instances.filter(isCallable)
    const near = this.#zone === undefined ? [] : up.filter(({ zone }) => zone === this.#zone)
    return Object.freeze(near.length > 0 ? near : up)
  }

  #announce(): void {
    if (this.#announced || this.#closed) return
    this.#announced = true
    const { instances } = this
    if (instances.length > 0) this.tell('change', { added: instances, removed: [], updated: [], instances })
  }

  #changed(change: TableChange): void {
    // All that was there before us is in the table already, and so is this change.
    if (this.#announced) this.#emitChange(change)
    else this.#announce()
    this.#waiters.wake()
  }

  #emitChange({ added, removed, updated, previous }: TableChange): void {
    if (this.listenerCount('change') === 0) return
    const filter = this.#filter ?? (() => true)
    const was = previous.map(filter)
    const is = updated.map(filter)
    const discovery = this
    const change: Change = {
      added: [...added.filter(filter), ...updated.filter((_, i) => is[i] && !was[i])],
      removed: [...removed.filter(filter), ...previous.filter((_, i) => was[i] && !is[i])],
      updated: updated.filter((_, i) => was[i] && is[i]),
      get instances() {
        return discovery.instances
      },
    }
    if (change.added.length + change.removed.length + change.updated.length > 0) this.tell('change', change)
  }

  #throwIfClosed(): void {
    if (this.#closed) throw new EtcdRegisterError('ERR_CLOSED', `The discovery of "${this.name}" is closed.`)
  }
}

function sameMembers(a: readonly ServiceInstance[], b: readonly ServiceInstance[]): boolean {
  return a.length === b.length && a.every((instance, i) => instance === b[i])
}
