import { networkInterfaces } from 'node:os'
import { knownAddress, resolveAddress } from './address.ts'
import { Advertisement } from './advertisement.ts'
import { type Clock, sleep, systemClock } from './clock.ts'
import { TableDiscovery } from './discovery.ts'
import { EtcdRegisterError } from './errors.ts'
import { Connection } from './etcd/connection.ts'
import { keyValueOf, prefixEnd } from './etcd/key-value.ts'
import { WatchStream } from './etcd/watch-stream.ts'
import { InstanceTable } from './instance-table.ts'
import type { KeyWatcher } from './key-guard.ts'
import { LeaseKeeper } from './lease.ts'
import { checkNames, type ResolvedOptions, resolveOptions, resolveService, validateName } from './options.ts'
import { ServiceRegistration } from './registration.ts'
import { RetiredKeys } from './retired-keys.ts'
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
import { RangeWatch } from './watch.ts'

/** Bound of `close()`, in ms. */
const CLOSE_TIMEOUT = 3000

/** Keys in one page of `services()`. */
const PAGE = 5000

/** What a server knows of its socket: the address that it is bound to, and what to add to a default id where others share it. */
interface SocketOptions {
  bound?: string
  idSuffix?: string
}

/** What all discoveries of one name share. */
interface Source {
  table: InstanceTable
  watches: { range: string; watch: RangeWatch }[]
  users: number
}

/** Connects with the first `register()` or `discover()`; throws `ERR_INVALID_OPTION`, and nothing else. */
export function createRegistry(options?: RegistryOptions): Registry {
  return new EtcdRegistry(resolveOptions(options), systemClock)
}

/** Wires the write side and the read side to one connection, one lease and one watch stream. */
export class EtcdRegistry implements Registry {
  readonly #options: ResolvedOptions
  readonly #clock: Clock
  readonly #connection: Connection
  readonly #stream: WatchStream
  readonly #lease: LeaseKeeper
  readonly #retired: RetiredKeys
  readonly #registrations = new Set<ServiceRegistration>()
  readonly #claims = new Map<string, ServiceRegistration>()
  readonly #sources = new Map<string, Source>()
  readonly #discoveries = new Set<Discovery>()
  #hold: NodeJS.Timeout | undefined
  #closing: Promise<void> | undefined

  constructor(options: ResolvedOptions, clock: Clock) {
    this.#options = options
    this.#clock = clock
    this.#connection = new Connection(options, clock)
    this.#stream = new WatchStream(this.#connection, clock)
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

  /** Throws what `register()` would throw of the options, and registers nothing. */
  check(service: ServiceOptions): void {
    const { namespace, formats } = this.#options
    new Advertisement(resolveService(service), '127.0.0.1', { namespace, formats })
  }

  register(service: ServiceOptions, { bound, idSuffix = '' }: SocketOptions = {}): Registration {
    this.#throwIfClosed()
    const resolved = { ...resolveService(service), idSuffix }
    const { hosts, namespace, formats, logger } = this.#options
    const sources = { host: resolved.host, bound, etcdHosts: hosts }
    const registration = new ServiceRegistration(resolved, provisionalHost(sources), {
      connection: this.#connection,
      lease: this.#lease,
      clock: this.#clock,
      logger,
      namespace,
      formats,
      watchKey: this.#watchKey,
      address: () => resolveAddress(sources),
      claim: (claimer, keys) => this.#claim(claimer, keys),
      remove: known => this.#retired.remove(known),
      closed: closed => this.#forget(closed),
    })
    this.#registrations.add(registration)
    this.#holdProcess()
    return registration
  }

  discover(name: string, options: DiscoverOptions = {}): Discovery {
    this.#throwIfClosed()
    validateName(name)
    checkNames('discover options', options, ['balancer', 'filter', 'zone'])
    const source = this.#sources.get(name) ?? this.#source(name)
    source.users += 1
    try {
      const { table, watches } = source
      const discovery: TableDiscovery = new TableDiscovery(
        {
          name,
          table,
          get revision() {
            return Math.min(...watches.map(({ watch }) => watch.revision))
          },
          release: () => {
            this.#discoveries.delete(discovery)
            this.#release(name, source)
          },
        },
        options,
        this.#options.logger,
      )
      this.#discoveries.add(discovery)
      this.#holdProcess()
      return discovery
    } catch (error) {
      this.#release(name, source)
      throw error
    }
  }

  async services(): Promise<string[]> {
    this.#throwIfClosed()
    const { formats, namespace } = this.#options
    const format = formats[0]!
    const root = Buffer.from(format.root(namespace))
    const names = new Set<string>()
    for (let key = root, pinned: string | undefined; ; ) {
      const page = await this.#connection.range({
        key,
        range_end: prefixEnd(root),
        limit: PAGE,
        ...(pinned !== undefined && { revision: pinned }),
      })
      pinned ??= page.header.revision
      for (const { key, value } of page.kvs.map(keyValueOf)) {
        const name = format.serviceOf(key, namespace)
        if (name === undefined || names.has(name)) continue
        if ('instance' in format.decode({ key, value }, { namespace, name })) names.add(name)
      }
      if (!page.more) return [...names].sort()
      key = Buffer.concat([page.kvs.at(-1)!.key, Buffer.from([0])])
    }
  }

  status(): RegistryStatus {
    return {
      etcd: this.#connection.status(),
      lease: this.#lease.status(),
      registrations: [...this.#registrations].map(registration => registration.status()),
      watches: [...this.#sources].flatMap(([name, { table, watches }]) =>
        watches.map(({ range, watch }) => ({
          name,
          prefix: range,
          revision: String(watch.revision),
          ...table.status(),
          ...watch.counts,
        })),
      ),
    }
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

  #source(name: string): Source {
    const { formats, namespace, logger } = this.#options
    const format = formats[0]!
    const table = new InstanceTable({ name, namespace, format, clock: this.#clock, logger })
    const watches = format.ranges(name, namespace).map(range => ({
      range: 'prefix' in range ? range.prefix : range.key,
      watch: this.#watch(range, table.addRange()),
    }))
    const source = { table, watches, users: 0 }
    this.#sources.set(name, source)
    return source
  }

  #release(name: string, source: Source): void {
    source.users -= 1
    this.#holdProcess()
    if (source.users > 0) return
    for (const { watch } of source.watches) watch.close()
    this.#sources.delete(name)
  }

  #watch(
    range: { prefix: string } | { key: string },
    keys: ConstructorParameters<typeof RangeWatch>[2],
    from = 0,
  ) {
    return new RangeWatch(
      { connection: this.#connection, stream: this.#stream, clock: this.#clock },
      range,
      keys,
      from,
    )
  }

  readonly #watchKey: KeyWatcher = (key, keys, revision) => {
    const watch = this.#watch({ key }, keys, revision + 1)
    return () => watch.close()
  }

  async #claim(claimer: ServiceRegistration, keys: readonly string[]): Promise<void> {
    for (const key of keys) {
      for (
        let holder = this.#claims.get(key);
        holder !== undefined && holder !== claimer;
        holder = this.#claims.get(key)
      ) {
        if (holder.retired === undefined) {
          throw new EtcdRegisterError(
            'ERR_CONFLICT',
            `This registry has a registration under ${key} already; give each an "id" of its own, or deregister the first.`,
          )
        }
        await holder.retired
        if (this.#claims.get(key) === holder) this.#claims.delete(key)
      }
      this.#claims.set(key, claimer)
      this.#retired.release(key)
    }
  }

  #forget(registration: ServiceRegistration): void {
    this.#registrations.delete(registration)
    if (this.#registrations.size === 0) this.#retired.clear()
    this.#holdProcess()
    void registration.retired?.then(() => {
      for (const [key, holder] of this.#claims) if (holder === registration) this.#claims.delete(key)
    })
  }

  /**
   * What is in use keeps the process alive, whether or not etcd is there: an open socket would, and its loss in an
   * outage must not end a process that only waits for events.
   */
  #holdProcess(): void {
    clearInterval(this.#hold)
    this.#hold = undefined
    if (this.#registrations.size + this.#discoveries.size > 0) this.#hold = setInterval(() => {}, 0x7fff_ffff)
  }

  #throwIfClosed(): void {
    if (this.#closing !== undefined) throw new EtcdRegisterError('ERR_CLOSED', 'The registry is closed.')
  }
}

/** What to show until the address is found. */
function provisionalHost(sources: Parameters<typeof knownAddress>[0]): string {
  try {
    const known = knownAddress(sources)
    if (known !== undefined) return known.host
  } catch {
    // The registration will say so.
  }
  const addresses = Object.values(networkInterfaces()).flatMap(list => list ?? [])
  return addresses.find(({ internal, family }) => !internal && family === 'IPv4')?.address ?? '127.0.0.1'
}
