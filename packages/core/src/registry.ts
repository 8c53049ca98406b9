import { networkInterfaces } from 'node:os'
import { knownAddress, resolveAddress } from './address.ts'
import { Advertisement } from './advertisement.ts'
import { type Clock, sleep, systemClock } from './clock.ts'
import { TableDiscovery } from './discovery.ts'
import { checkNames, EtcdRegisterError, invalidOption } from './errors.ts'
import { Connection } from './etcd/connection.ts'
import { WatchStream } from './etcd/watch-stream.ts'
import { type FormatOption, type KeyRange, type PlacedFormat, resolveFormats } from './formats/index.ts'
import { InstanceTable } from './instance-table.ts'
import { KeyClaims } from './key-claims.ts'
import type { KeyWatcher } from './key-guard.ts'
import { LeaseKeeper } from './lease.ts'
import { type ResolvedOptions, resolveOptions, resolveService, validateName } from './options.ts'
import { ServiceRegistration } from './registration.ts'
import { RetiredKeys } from './retired-keys.ts'
import { listServices } from './service-list.ts'
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

/** What a server knows of its socket: the address that it is bound to, and what to add to a default id where others share it. */
interface SocketOptions {
  bound?: string
  idSuffix?: string
}

/** What all discoveries of one name and the same formats share. */
interface Source {
  name: string
  formats: readonly PlacedFormat[]
  table: InstanceTable
  watches: (InstanceTable['ranges'][number] & { watch: RangeWatch })[]
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
  readonly #claims = new KeyClaims()
  readonly #sources = new Set<Source>()
  readonly #discoveries = new Set<Discovery>()
  #hold: NodeJS.Timeout | undefined
  #holds = true
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
      address: () => resolveAddress(sources),
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
    const source = this.#source(name, this.#readable(options.format))
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
            this.#release(source)
          },
        },
        options,
        this.#options.logger,
      )
      this.#discoveries.add(discovery)
      this.#holdProcess()
      return discovery
    } catch (error) {
      this.#release(source)
      throw error
    }
  }

  async services(options: Pick<DiscoverOptions, 'format'> = {}): Promise<string[]> {
    this.#throwIfClosed()
    checkNames('options of services()', options, ['format'])
    const found = await Promise.all(
      this.#readable(options.format).map(placed => listServices(this.#connection, placed)),
    )
    return [...new Set(found.flatMap(names => [...names]))].sort()
  }

  status(): RegistryStatus {
    return {
      etcd: this.#connection.status(),
      lease: this.#lease.status(),
      registrations: [...this.#registrations].map(registration => registration.status()),
      watches: [...this.#sources].flatMap(({ name, watches }) =>
        watches.map(({ range, rows, watch }) => ({
          name,
          prefix: 'prefix' in range ? range.prefix : range.key,
          revision: String(watch.revision),
          ...rows.status(),
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

  /**
   * Of the formats that were asked for, else the first of ours that can be read. A name is that of one of ours, if there
   * is one, with the options that it was given. Throws `ERR_INVALID_OPTION`.
   */
  #readable(asked?: DiscoverOptions['format']): readonly PlacedFormat[] {
    const { formats, namespace } = this.#options
    const readable = ({ format }: PlacedFormat) => format.capabilities.read
    const ours = (name: unknown) => formats.find(({ format }) => format.name === name)?.format ?? name
    const chosen =
      asked === undefined
        ? formats.filter(readable).slice(0, 1)
        : resolveFormats((Array.isArray(asked) ? asked.map(ours) : ours(asked)) as FormatOption, namespace)
    const names = formats.map(({ format }) => format.name)
    if (chosen.length > 0 && chosen.every(readable)) return chosen
    throw invalidOption(
      'format',
      'one that can be read, such as "json": others are only written',
      asked ?? names,
    )
  }

  /** The one there is for these formats, or a new one. */
  #source(name: string, formats: readonly PlacedFormat[]): Source {
    for (const source of this.#sources) {
      if (source.name === name && sameFormats(source.formats, formats)) return source
    }
    const table = new InstanceTable({ name, formats, clock: this.#clock, logger: this.#options.logger })
    const watches = table.ranges.map(({ range, rows }) => ({ range, rows, watch: this.#watch(range, rows) }))
    const source = { name, formats, table, watches, users: 0 }
    this.#sources.add(source)
    return source
  }

  #release(source: Source): void {
    source.users -= 1
    this.#holdProcess()
    if (source.users > 0) return
    for (const { watch } of source.watches) watch.close()
    this.#sources.delete(source)
  }

  #watch(range: KeyRange, keys: ConstructorParameters<typeof RangeWatch>[2], from = 0) {
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

/** In one registry a format has one place. */
function sameFormats(a: readonly PlacedFormat[], b: readonly PlacedFormat[]): boolean {
  return a.length === b.length && a.every(({ format }, i) => format === b[i]?.format)
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
