import type { EventEmitter } from 'node:events'
import { type Balancer, type BalancerFactory, type PickContext } from '../balancing/balancer.ts'
import { type BalancerName, resolveBalancer } from '../balancing/index.ts'
import type { Clock } from '../etcd/support/clock.ts'
import { Condition, signalOf } from '../etcd/support/condition.ts'
import { Emitter } from '../etcd/support/emitter.ts'
import { abortedText, EtcdRegisterError, invalidOption } from '../etcd/support/errors.ts'
import { inspectAs } from '../etcd/support/inspect.ts'
import type { Logger } from '../etcd/support/logger.ts'
import { shown } from '../etcd/support/text.ts'
import { WarnOnce } from '../etcd/support/warn-once.ts'
import type { InstanceFormat } from '../formats/format.ts'
import type { FormatName } from '../formats/index.ts'
import type { ServiceInstance } from '../instance/instance.ts'
import { isEligible } from '../instance/instance.ts'
import type { InstanceTable } from './instance-table.ts'
import type { TableChange } from './table-change.ts'

/** What changed in one step, and the table after it. */
export interface Change {
  readonly added: readonly ServiceInstance[]
  readonly removed: readonly ServiceInstance[]
  readonly updated: readonly ServiceInstance[]
  readonly instances: readonly ServiceInstance[]
}

export interface DiscoverOptions {
  /** Default `round-robin`. */
  balancer?: BalancerName | BalancerFactory | undefined
  /** Instances that do not pass are not there for this discovery. */
  filter?: ((instance: ServiceInstance) => boolean) | undefined
  /** `pick()` prefers instances of this zone while one of them is up. */
  zone?: string | undefined
  /**
   * What to read, default the first of the registry's; a name is that of one of the registry's, if there is one. Of
   * several, each address is one instance.
   */
  format?: FormatName | InstanceFormat | (FormatName | InstanceFormat)[] | undefined
}

export interface DiscoveryEvents {
  change: [change: Change]
  stale: [since: Date]
  fresh: []
}

/** The live instances of one service, kept current by a watch. It never emits `error`. */
export interface Discovery
  extends EventEmitter<DiscoveryEvents>,
    AsyncDisposable,
    AsyncIterable<readonly ServiceInstance[]> {
  readonly name: string
  /**
   * Resolves once the first list is kept current by a watch, so that it is not stale; after the list alone where the watch
   * failed. Rejects on abort (`ERR_ABORTED`), on close (`ERR_CLOSED`), or with a permanent error; it goes on trying.
   */
  ready(options?: { signal?: AbortSignal | undefined }): Promise<void>
  /** All registered instances, `leaving` and `suspended` ones too; the same frozen array until something changes. */
  readonly instances: readonly ServiceInstance[]
  /** True while the table cannot be kept current; the last one known stays. */
  readonly stale: boolean
  readonly staleSince: Date | undefined
  /**
   * etcd's revision of the last list or change in the table, which is complete up to it; inside a `change` listener that of
   * the change. With several formats each is complete up to its own last change. `0n` before the first list.
   */
  readonly revision: bigint
  /** One instance that is up and has weight, or `undefined` if there is none. */
  pick(context?: PickContext): ServiceInstance | undefined
  close(): Promise<void>
}

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
  readonly #throwing: WarnOnce
  /** It did when it was last asked for all. */
  #threw = false
  readonly #zone: string | undefined
  readonly #balancer: Balancer
  readonly #unsubscribe: () => void
  readonly #onClose: () => void
  readonly #changes = new Condition()
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
    this.#throwing = new WarnOnce(clock, logger)
    this.#zone = zone
    this.#balancer = resolveBalancer(balancer)
    this.#unsubscribe = source.table.subscribe({
      changed: change => this.#changed(change),
      stale: since => this.emitSafely('stale', since),
      fresh: () => {
        this.#changes.notify()
        this.emitSafely('fresh')
      },
      failed: () => this.#changes.notify(),
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
    await this.#changes.until(check, { signal, message })
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
    this.#candidates ??= this.#eligible(instances)
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
    this.#changes.notify()
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
      await this.#changes.until(() => this.#closed || (this.#source.table.listed && this.instances !== seen))
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

  #eligible(instances: readonly ServiceInstance[]): readonly ServiceInstance[] {
    const up = instances.filter(isEligible)
    const near = this.#zone === undefined ? [] : up.filter(({ zone }) => zone === this.#zone)
    return Object.freeze(near.length > 0 ? near : up)
  }

  #announce(): void {
    if (this.#announced || this.#closed) return
    this.#announced = true
    const { instances } = this
    if (instances.length > 0)
      this.emitSafely('change', { added: instances, removed: [], updated: [], instances })
  }

  #changed(change: TableChange): void {
    // All that was there before us is in the table already, and so is this change.
    if (this.#announced) this.#emitChange(change)
    else this.#announce()
    this.#changes.notify()
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
    if (change.added.length + change.removed.length + change.updated.length > 0)
      this.emitSafely('change', change)
  }

  #throwIfClosed(): void {
    if (this.#closed) throw new EtcdRegisterError('ERR_CLOSED', `The discovery of "${this.name}" is closed.`)
  }
}

function sameMembers(a: readonly ServiceInstance[], b: readonly ServiceInstance[]): boolean {
  return a.length === b.length && a.every((instance, i) => instance === b[i])
}
