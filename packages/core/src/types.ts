import type { EventEmitter } from 'node:events'
import type { AddressRule } from './address.ts'
import type { BalancerFactory, BalancerName, PickContext } from './balancers/index.ts'
import type { ErrorCode } from './errors.ts'
import type { FormatName, InstanceFormat } from './formats/index.ts'

/** Takes structured log lines, fields first: a pino logger fits as it is, one of winston through `winstonLogger()`. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** A user of etcd. */
export interface Credentials {
  username: string
  password: string
}

/** Each of the three is PEM text, or the path of a file, which is read again for each new connection. */
export interface TlsOptions {
  /** The authorities to trust, default the system's. */
  ca?: string | Buffer | undefined
  /** The certificate of this client, and its key: both or neither. */
  cert?: string | Buffer | undefined
  key?: string | Buffer | undefined
  /** The name that the certificate of etcd has to have, and that is sent as SNI. Default: the one in `hosts`, with `srv+https://` its domain. */
  serverName?: string | undefined
}

/** Where an instance can be reached. */
export interface Endpoint {
  protocol: string
  host: string
  port: number
}

/**
 * Whether an endpoint may be called. An IPv6 address is in its shortest form, an IPv4 one within it by itself, a name in
 * lower case without a dot at its end.
 */
export type Allow = (endpoint: Endpoint) => boolean

/** How to reach etcd, and the defaults of everything that this registry registers. */
export interface RegistryOptions {
  /**
   * etcd's client URLs, or `srv+https://example.org` for what DNS SRV records name (`_etcd-client-ssl._tcp.example.org`;
   * with `srv+http://` `_etcd-client._tcp`), which are looked up again once no member can be reached. Default:
   * `ETCD_ENDPOINTS` or `ETCDCTL_ENDPOINTS` (comma list), `ETCDCTL_DISCOVERY_SRV`, else `http://127.0.0.1:2379`.
   */
  hosts?: string | string[] | undefined
  /**
   * The user to log in as, or a function that is called for each new authentication, for passwords that rotate; it may
   * take `requestTimeout`. Default: `ETCD_USERNAME` and `ETCD_PASSWORD`, or `ETCDCTL_USER` as
   * `name:password` or with `ETCDCTL_PASSWORD`. An etcd
   * without authentication is used without.
   */
  auth?: Credentials | (() => Promise<Credentials>) | undefined
  /** Default: `ETCD_CACERT`, `ETCD_CERT`, `ETCD_KEY`, or the same with `ETCDCTL_`. With any of them etcd is reached over TLS only. */
  tls?: TlsOptions | undefined
  /** Root of the keys, default `/services`, or what a format of another registry has; `/` or `''` means none. */
  namespace?: string | undefined
  /**
   * Lease time in whole seconds, at least 2: how long a crashed instance stays registered. Default 10, or what the
   * `format` of another registry has.
   */
  ttl?: number | undefined
  /** How instances are written, default `'json'`. Several register under each; the first one that can be read is. */
  format?: FormatName | InstanceFormat | (FormatName | InstanceFormat)[] | undefined
  /**
   * Which of the endpoints that others put into etcd may be called, such as `({ host }) => host !== '169.254.169.254'`.
   * The rest is left out of each instance that is discovered; one that has nothing left, or for which it throws or gives
   * anything but `true` and `false`, is skipped with one warning. Names are not resolved: what a name stands for is for
   * the one who calls to check. Default: all of them.
   */
  allow?: Allow | undefined
  /** Milliseconds for one attempt of one request, default 3000. */
  requestTimeout?: number | undefined
  /**
   * Default: warnings and errors to the console. `false`: silence. A logger of winston, which takes the message first, is
   * recognised and used through `winstonLogger()`.
   */
  logger?: Logger | false | undefined
}

/** What one instance says of itself. */
export interface ServiceOptions {
  /** `[A-Za-z0-9][A-Za-z0-9._-]*`, up to 253 characters. */
  name: string
  port: number
  /** Address that others can reach. Default: `SERVICE_HOST`, `POD_IP`, `HOST_IP`, then found by the route to etcd. */
  host?: string | undefined
  /** Unique within the service, up to 300 characters without `/`; default `host:port`, or as the `format` of another registry has it. The newer of two processes with one id wins. */
  id?: string | undefined
  /** URL scheme, default `http`. */
  protocol?: string | undefined
  /** Where else it can be reached: `grpc://10.0.0.5:9000`, or `grpc://:9000` for a port of the same host. */
  advertise?: readonly string[] | undefined
  /** Up to 256 characters without control or format characters, as the zone. */
  version?: string | undefined
  zone?: string | undefined
  /** Share of the traffic, a whole number from 0 (none) to 1000; default 100. */
  weight?: number | undefined
  /**
   * Up to 256 pairs: names of up to 256 characters without control or format characters, values of up to 16,384
   * characters without control characters but tabs and line breaks. All in all, a value in etcd has 64 KiB at most.
   */
  metadata?: Record<string, string> | undefined
}

/** `leaving` and `suspended` instances are alive, but get no new traffic. */
export type InstanceStatus = 'up' | 'leaving' | 'suspended'

/** One live instance, deeply frozen and JSON-safe. */
export interface ServiceInstance {
  readonly id: string
  readonly name: string
  readonly host: string
  readonly port: number
  readonly protocol: string
  readonly version: string
  readonly zone: string
  /** From 0 to 1,000,000, since others write larger ones than we do. */
  readonly weight: number
  readonly metadata: Readonly<Record<string, string>>
  /** URLs without a path, such as `http://10.0.0.5:8000`. */
  readonly endpoints: readonly string[]
  readonly status: InstanceStatus
  /**
   * Its key in etcd; where it would be while it has none, as one of weight 0 in a format without weights. `''` where the
   * format has none for it.
   */
  readonly key: string
}

/** Where a registration stands: `lost` and `conflict` are left again by itself, `closed` is final. */
export type RegistrationState = 'registering' | 'registered' | 'suspended' | 'lost' | 'conflict' | 'closed'

/** Why a registration was lost. */
export type LossReason = 'lease-expired' | 'lease-revoked' | 'key-deleted' | 'key-overwritten'

export interface RegistrationEvents {
  state: [state: RegistrationState, previous: RegistrationState]
  registered: [instance: ServiceInstance]
  lost: [reason: LossReason]
  /** `ttl` in seconds, as the option. */
  renewed: [lease: { id: string; ttl: number }]
  conflict: [key: string]
  /** The machine has another address, and etcd has the instance there. */
  moved: [instance: ServiceInstance, previous: ServiceInstance]
  closed: []
}

/** One registered instance. It repairs itself until `deregister()`; it never emits `error`. */
export interface Registration extends EventEmitter<RegistrationEvents> {
  /**
   * What is, or will be, in etcd; the same object until something of it changes. Once `ready()` resolved, the host changes
   * only with the address of the machine (`moved`), and a default id with it.
   */
  readonly instance: ServiceInstance
  readonly state: RegistrationState
  /**
   * Resolves after the first successful put. Rejects on abort (`ERR_ABORTED`), on close (`ERR_CLOSED`), or with an error that trying
   * again will not mend, such as `ERR_ETCD_AUTH`; the registration goes on trying all the same.
   */
  ready(options?: { signal?: AbortSignal | undefined }): Promise<void>
  /** Changes what is published; resolves when etcd has it. */
  update(patch: Partial<Pick<ServiceOptions, 'weight' | 'metadata' | 'version' | 'zone'>>): Promise<void>
  /** Out of rotation while the process lives; resolves when etcd has it. */
  suspend(): Promise<void>
  resume(): Promise<void>
  /** Announces `leaving`, deletes the key, and revokes the lease with the last one. Ends within `timeout` ms, default 3000. */
  deregister(options?: { timeout?: number | undefined }): Promise<void>
}

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

/** Registers and discovers over one lease, one keepalive stream and one watch stream. */
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

/** The last thing that went wrong, and when. */
export interface ErrorStatus {
  code: ErrorCode
  message: string
  at: string
}

/** The lease that the keys of an instance are under; times in ms. */
export interface LeaseStatus {
  state: 'idle' | 'granting' | 'held' | 'lost'
  /** In hexadecimal, as etcdctl has it. */
  id: string | undefined
  /** As granted. */
  ttl: number | undefined
  expiresIn: number | undefined
  lastAckAge: number | undefined
  /** Times that a held lease was lost. */
  losses: number
}

/** Answers an operator's questions as one plain object: durations in ms, times of the day as ISO 8601. */
export interface RegistryStatus {
  etcd: {
    /** URLs. */
    hosts: string[]
    /** URL of the member that answered last. */
    member: string | undefined
    /** `down`: nothing works now, since etcd is away, refuses all that was asked, or its client cannot be loaded. */
    connection: 'idle' | 'up' | 'down' | 'closed'
    since: string
    lastError: ErrorStatus | undefined
  }
  registrations: {
    name: string
    id: string
    keys: string[]
    state: RegistrationState
    since: string
    /** Shared by the registrations of a registry. */
    lease: LeaseStatus
    /** Which rule chose the advertised host. */
    address: AddressRule | undefined
    lastError: ErrorStatus | undefined
  }[]
  /** One for each range of keys that is read. */
  watches: {
    name: string
    format: string
    prefix: string
    revision: string
    instances: number
    stale: boolean
    staleSince: string | undefined
    relists: number
    reconnects: number
    repairs: number
    skipped: number
    lastError: ErrorStatus | undefined
  }[]
}
