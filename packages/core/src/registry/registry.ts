import type { DiscoverOptions, Discovery } from '../discovery/discovery.ts'
import { TableDiscovery } from '../discovery/discovery.ts'
import { listServices } from '../discovery/service-list.ts'
import { TablePool, type WatchStatus } from '../discovery/table-pool.ts'
import { Connection } from '../etcd/client/connection.ts'
import type { EtcdStatus } from '../etcd/client/health.ts'
import { Renewals } from '../etcd/lease/renewals.ts'
import { warnOfPlainPassword } from '../etcd/options/options.ts'
import { type Clock, sleep, systemClock } from '../etcd/support/clock.ts'
import { EtcdRegisterError } from '../etcd/support/errors.ts'
import { inspectAs } from '../etcd/support/inspect.ts'
import type { Logger } from '../etcd/support/logger.ts'
import { checkNames } from '../etcd/support/option-names.ts'
import { SharedWarnOnce } from '../etcd/support/warn-once.ts'
import { RangeWatch, type WatchDeps } from '../etcd/watch/key-watch.ts'
import { WatchStream } from '../etcd/watch/watch-stream.ts'
import { type ResolvedFormat, readableFormats } from '../formats/index.ts'
import { provisionalHost, resolveAddress } from '../instance/address.ts'
import type { ServiceOptions } from '../instance/service-options.ts'
import { resolveService, validateName } from '../instance/service-options.ts'
import { KeyClaims } from '../registration/key-claims.ts'
import { LeaseWarnings } from '../registration/lease-warnings.ts'
import type { KeyWatcher } from '../registration/owned-key.ts'
import { InstanceRecord } from '../registration/record.ts'
import type { Registration, RegistrationStatus } from '../registration/registration.ts'
import { ServiceRegistration } from '../registration/registration.ts'
import type { RegistryOptions } from './options.ts'
import { type ResolvedOptions, resolveOptions } from './options.ts'

/** Registers and discovers over one keepalive stream and one watch stream. */
export interface Registry extends AsyncDisposable {
  /** Returns at once and works in the background. Throws `ERR_INVALID_OPTION` or `ERR_CLOSED`. */
  register(service: ServiceOptions): Registration
  /** Shares one watch per name and format. Throws `ERR_INVALID_OPTION` or `ERR_CLOSED`. */
  discover(name: string, options?: DiscoverOptions): Discovery
  /**
   * Names that have a live instance now, sorted. Reads keys first, then values of each name until one is an instance: up to
   * 100, or all where there are few for each name. Rejects with an `ERR_ETCD_*` code or `ERR_INVALID_OPTION`.
   */
  services(options?: Pick<DiscoverOptions, 'format'>): Promise<string[]>
  status(): RegistryStatus
  /** Deregisters all, cancels the streams and closes; bounded by 3 s, idempotent. */
  close(): Promise<void>
}

/** Answers an operator's questions as one plain object: durations in ms, times of the day as ISO 8601. */
export interface RegistryStatus {
  etcd: EtcdStatus
  registrations: RegistrationStatus[]
  /** One for each range of keys that is read. */
  watches: WatchStatus[]
}

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

/** Wires the write side and the read side to one connection, one keepalive stream and one watch stream. */
export class EtcdRegistry implements Registry {
  readonly #options: ResolvedOptions
  readonly #clock: Clock
  readonly #connection: Connection
  readonly #stream: WatchStream
  readonly #watching: WatchDeps
  readonly #renewals: Renewals
  readonly #leaseWarnings: LeaseWarnings
  readonly #registrations = new Set<ServiceRegistration>()
  readonly #claims = new KeyClaims()
  readonly #unaddressed: SharedWarnOnce
  readonly #tables: TablePool
  readonly #discoveries = new Set<Discovery>()
  #hold: NodeJS.Timeout | undefined
  #holds = true
  #closing: Promise<void> | undefined

  constructor(options: ResolvedOptions, clock: Clock) {
    this.#options = options
    this.#clock = clock
    this.#unaddressed = new SharedWarnOnce(clock, options.logger)
    this.#connection = new Connection(options, clock)
    this.#stream = new WatchStream(this.#connection, clock, options.logger)
    this.#watching = { connection: this.#connection, stream: this.#stream, clock }
    this.#tables = new TablePool(this.#watching, options)
    this.#renewals = new Renewals(this.#connection, clock)
    this.#leaseWarnings = new LeaseWarnings(clock, options.logger)
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
    new InstanceRecord(resolveService(service), '127.0.0.1', this.#options.formats)
  }

  register(service: ServiceOptions, { bound, idSuffix = '' }: SocketOptions = {}): Registration {
    this.#throwIfClosed()
    const resolved = { ...resolveService(service), idSuffix }
    const { hosts, formats, logger } = this.#options
    const sources = { host: resolved.host, bound, etcdHosts: hosts }
    const registration = new ServiceRegistration(resolved, provisionalHost(sources), {
      connection: this.#connection,
      session: {
        connection: this.#connection,
        clock: this.#clock,
        renewals: this.#renewals,
        ttl: this.#options.ttl,
        warnings: this.#leaseWarnings,
      },
      clock: this.#clock,
      logger,
      formats,
      watchKey: this.#watchKey,
      address: async () => resolveAddress({ ...sources, etcdHosts: await this.#connection.hosts() }),
      unaddressed: this.#unaddressed,
      claim: (claimer, keys) => this.#claims.claim(claimer, keys),
      unclaim: claimer => this.#claims.release(claimer),
      closed: closed => this.#forget(closed),
    })
    this.#registrations.add(registration)
    this.#holdProcess()
    registration.start()
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

  #readable(asked: DiscoverOptions['format']): readonly ResolvedFormat[] {
    const { formats, namespace } = this.#options
    return readableFormats(formats, namespace, asked)
  }

  readonly #watchKey: KeyWatcher = (key, keys, revision) => {
    const watch = new RangeWatch(this.#watching, { key }, keys, revision + 1)
    return () => watch.close()
  }

  #forget(registration: ServiceRegistration): void {
    this.#registrations.delete(registration)
    this.#holdProcess()
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
