import { provisionalHost, resolveAddress } from './address.ts'
import { Advertisement } from './advertisement.ts'
import { type Clock, sleep, systemClock } from './clock.ts'
import { SharedCondition } from './condition.ts'
import { TableDiscovery } from './discovery.ts'
import { EtcdRegisterError } from './errors.ts'
import { Connection } from './etcd/connection.ts'
import { WatchStream } from './etcd/watch-stream.ts'
import { type PlacedFormat, readableFormats } from './formats/index.ts'
import { inspectAs } from './inspect.ts'
import { KeyClaims } from './key-claims.ts'
import type { KeyWatcher } from './key-guard.ts'
import { LeaseKeeper } from './lease.ts'
import { checkNames } from './option-names.ts'
import {
  type ResolvedOptions,
  resolveOptions,
  resolveService,
  validateName,
  warnOfPlainPassword,
} from './options.ts'
import { ServiceRegistration } from './registration.ts'
import { RetiredKeys } from './retired-keys.ts'
import { listServices } from './service-list.ts'
import { SharedTables } from './shared-tables.ts'
import type {
  DiscoverOptions,
  Discovery,
  Logger,
  Registration,
  Registry,
  RegistryOptions,
  RegistryStatus,
  ServiceOptions,
} from './types.ts'
import { RangeWatch, type WatchDeps } from './watch.ts'

/** How long it takes until nobody calls an instance that left, unless a format says more. In ms. */
export const DRAIN_DELAY = 1000

/** Bound of `close()`, in ms. */
const CLOSE_TIMEOUT = 3000

/** What a server knows of its socket: the address that it is bound to, and what to add to a default id where others share it. */
interface SocketOptions {
  bound?: string
  idSuffix?: string
}

/** Connects with the first `register()` or `discover()`; throws `ERR_INVALID_OPTION`, and nothing else. */
export function createRegistry(options?: RegistryOptions): Registry {
  const resolved = resolveOptions(options)
  warnOfPlainPassword(resolved)
  return new EtcdRegistry(resolved, systemClock)
}

/** Wires the write side and the read side to one connection, one lease and one watch stream. */
export class EtcdRegistry implements Registry {
  readonly #options: ResolvedOptions
  readonly #clock: Clock
  readonly #connection: Connection
  readonly #stream: WatchStream
  readonly #watching: WatchDeps
  readonly #lease: LeaseKeeper
  readonly #retired: RetiredKeys
  readonly #registrations = new Set<ServiceRegistration>()
  readonly #claims = new KeyClaims()
  readonly #unaddressed: SharedCondition
  readonly #tables: SharedTables
  readonly #discoveries = new Set<Discovery>()
  #hold: NodeJS.Timeout | undefined
  #holds = true
  #closing: Promise<void> | undefined

  constructor(options: ResolvedOptions, clock: Clock) {
    this.#options = options
    this.#clock = clock
    this.#unaddressed = new SharedCondition(clock, options.logger)
    this.#connection = new Connection(options, clock)
    this.#stream = new WatchStream(this.#connection, clock, options.logger)
    this.#watching = { connection: this.#connection, stream: this.#stream, clock }
    this.#tables = new SharedTables(this.#watching, options)
    this.#lease = new LeaseKeeper({
      connection: this.#connection,
      clock,
      logger: options.logger,
      ttl: options.ttl,
    })
    this.#retired = new RetiredKeys({
      connection: this.#connection,
      lease: this.#lease,
      clock,
      watchKey: this.#watchKey,
    })
  }

  get logger(): Logger {
    return this.#options.logger
  }

  /** For servers: how long readers of the slowest format take to see that an instance left, in ms. */
  get drainDelay(): number {
    return Math.max(...this.#options.formats.map(({ format }) => format.defaults?.drainDelay ?? DRAIN_DELAY))
  }

  /** For adapters: `false` until the app has started, since nobody closes what belongs to one that failed to. */
  holdProcess(holds: boolean): void {
    this.#holds = holds
    this.#holdProcess()
  }

  /** Throws what `register()` would throw of the options, and registers nothing. */
  check(service: ServiceOptions): void {
    new Advertisement(resolveService(service), '127.0.0.1', this.#options.formats)
  }

  register(service: ServiceOptions, { bound, idSuffix = '' }: SocketOptions = {}): Registration {
    this.#throwIfClosed()
    const resolved = { ...resolveService(service), idSuffix }
    const { hosts, formats, logger } = this.#options
    const sources = { host: resolved.host, bound, etcdHosts: hosts }
    const registration = new ServiceRegistration(resolved, provisionalHost(sources), {
      connection: this.#connection,
      lease: this.#lease,
      clock: this.#clock,
      logger,
      formats,
      watchKey: this.#watchKey,
      address: async () => resolveAddress({ ...sources, etcdHosts: await this.#connection.hosts() }),
      unaddressed: this.#unaddressed,
      claim: (claimer, keys) => this.#claims.claim(claimer, keys),
      retired: this.#retired,
      closed: closed => this.#forget(closed),
    })
    this.#registrations.add(registration)
    this.#holdProcess()
    return registration
  }

  discover(name: string, options: DiscoverOptions = {}): Discovery {
    this.#throwIfClosed()
    validateName(name)
    checkNames('discover options', options, ['balancer', 'filter', 'zone', 'format'])
    const source = this.#tables.use(name, this.#readable(options.format))
    try {
      const deps = { clock: this.#clock, logger: this.#options.logger }
      const discovery = new TableDiscovery(source, options, deps, () => {
        this.#discoveries.delete(discovery)
        this.#holdProcess()
      })
      this.#discoveries.add(discovery)
      this.#holdProcess()
      return discovery
    } catch (error) {
      source.release()
      throw error
    }
  }

  async services(options: Pick<DiscoverOptions, 'format'> = {}): Promise<string[]> {
    this.#throwIfClosed()
    checkNames('options of services()', options, ['format'])
    const found = await Promise.all(
      this.#readable(options.format).map(placed =>
        listServices(this.#connection, placed, this.#options.allow),
      ),
    )
    return [...new Set(found.flatMap(names => [...names]))].sort()
  }

  status(): RegistryStatus {
    return {
      etcd: this.#connection.status(),
      registrations: [...this.#registrations].map(registration => registration.status()),
      watches: this.#tables.status(),
    }
  }

  toJSON(): object {
    return this.status()
  }

  static {
    inspectAs('Registry', EtcdRegistry.prototype)
  }

  close(): Promise<void> {
    this.#closing ??= this.#close()
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(): Promise<void> {
    await Promise.all([...this.#discoveries].map(discovery => discovery.close()))
    const timeout = CLOSE_TIMEOUT
    await Promise.all([...this.#registrations].map(registration => registration.deregister({ timeout })))
    this.#stream.close()
    await Promise.race([this.#connection.close(), sleep(this.#clock, timeout)])
  }

  #readable(asked: DiscoverOptions['format']): readonly PlacedFormat[] {
    const { formats, namespace } = this.#options
    return readableFormats(formats, namespace, asked)
  }

  readonly #watchKey: KeyWatcher = (key, keys, revision) => {
    const watch = new RangeWatch(this.#watching, { key }, keys, revision + 1)
    return () => watch.close()
  }

  #forget(registration: ServiceRegistration): void {
    this.#registrations.delete(registration)
    if (this.#registrations.size === 0) this.#retired.clear()
    this.#holdProcess()
    void registration.retired?.then(() => this.#claims.release(registration))
  }

  /**
   * What is in use keeps the process alive, whether or not etcd is there: an open socket would, and its loss in an
   * outage must not end a process that only waits for events.
   */
  #holdProcess(): void {
    clearInterval(this.#hold)
    this.#hold = undefined
    if (this.#holds && this.#registrations.size + this.#discoveries.size > 0)
      this.#hold = setInterval(() => {}, 0x7fff_ffff)
  }

  #throwIfClosed(): void {
    if (this.#closing !== undefined) throw new EtcdRegisterError('ERR_CLOSED', 'The registry is closed.')
  }
}
