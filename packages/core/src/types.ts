import type { EventEmitter } from 'node:events'
import type { AddressRule } from './address.ts'
import type { BalancerFactory, BalancerName, PickContext } from './balancers/index.ts'
import type { ErrorCode } from './errors.ts'
import type { FormatName, InstanceFormat } from './formats/index.ts'

/** Takes structured log lines, fields first: a pino logger fits as it is. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** How to reach etcd, and the defaults of everything that this registry registers. */
export interface RegistryOptions {
  /** etcd's client URLs. Default: `ETCD_ENDPOINTS` or `ETCDCTL_ENDPOINTS` (comma list), else `http://127.0.0.1:2379`. */
  hosts?: string | string[]
  /** Default: `ETCD_USERNAME` and `ETCD_PASSWORD`, or `ETCDCTL_USER` as `name:password`. */
  auth?: { username: string; password: string }
  /** PEM text, or a path to it. Default: `ETCD_CACERT`, `ETCD_CERT`, `ETCD_KEY`. */
  tls?: { ca?: string | Buffer; cert?: string | Buffer; key?: string | Buffer }
  /** Root of the keys, default `/services`, or what a format of another registry has; `/` or `''` means none. */
  namespace?: string
  /**
   * Lease time in whole seconds, at least 2: how long a crashed instance stays on the roll. Default 10, or what the
   * `format` of another registry has.
   */
  ttl?: number
  /** How instances are written, default `'json'`. Several register under each; the first one that can be read is. */
  format?: FormatName | InstanceFormat | (FormatName | InstanceFormat)[]
  /** Milliseconds for one attempt of one request, default 3000. */
  requestTimeout?: number
  /** Default: warnings and errors to the console. `false`: silence. */
  logger?: Logger | false
}

/** What one instance says of itself. */
export interface ServiceOptions {
  /** `[A-Za-z0-9][A-Za-z0-9._-]*`, up to 253 characters. */
  name: string
  port: number
  /** Address that others can reach. Default: `SERVICE_HOST`, `POD_IP`, `HOST_IP`, then found by the route to etcd. */
  host?: string
  /** Unique within the service, default `host:port`, or as the `format` of another registry has it. The newer of two processes with one id wins. */
  id?: string
  /** URL scheme, default `http`. */
  protocol?: string
  /** Where else it can be reached: `grpc://10.0.0.5:9000`, or `grpc://:9000` for a port of the same host. */
  endpoints?: readonly string[]
  version?: string
  zone?: string
  /** Share of the traffic, a whole number from 0 (none) to 1000; default 100. */
  weight?: number
  metadata?: Record<string, string>
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
  readonly weight: number
  readonly metadata: Readonly<Record<string, string>>
  /** URLs without a path, such as `http://10.0.0.5:8000`. */
  readonly endpoints: readonly string[]
  readonly status: InstanceStatus
  /** Its key in etcd. */
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
  renewed: [lease: { id: string; ttl: number }]
  conflict: [key: string]
  closed: []
}

/** One instance on the roll. It repairs itself until `deregister()`; it never emits `error`. */
export interface Registration extends EventEmitter<RegistrationEvents> {
  /** What is, or will be, in etcd. Host and id are final once `ready()` resolved. */
  readonly instance: ServiceInstance
  readonly state: RegistrationState
  /**
   * Resolves after the first successful put. Rejects on abort, on close (`ERR_CLOSED`), or with an error that trying
   * again will not mend, such as `ERR_ETCD_AUTH`; the registration goes on trying all the same.
   */
  ready(options?: { signal?: AbortSignal }): Promise<void>
  /** Changes what is published; resolves when etcd has it. */
  update(patch: Partial<Pick<ServiceOptions, 'weight' | 'metadata' | 'version' | 'zone'>>): Promise<void>
  /** Out of rotation while the process lives; resolves when etcd has it. */
  suspend(): Promise<void>
  resume(): Promise<void>
  /** Announces `leaving`, deletes the key, and revokes the lease with the last one. Ends within `timeout` ms, default 3000. */
  deregister(options?: { timeout?: number }): Promise<void>
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
  balancer?: BalancerName | BalancerFactory
  /** Instances that do not pass are not there for this discovery. */
  filter?: (instance: ServiceInstance) => boolean
  /** `pick()` prefers instances of this zone while one of them is up. */
  zone?: string
  /**
   * What to read, default the first of the registry's; a name is that of one of the registry's, if there is one. Of
   * several, each address is one instance.
   */
  format?: FormatName | InstanceFormat | (FormatName | InstanceFormat)[]
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
  /** Resolves after the first list. Rejects on abort, on close (`ERR_CLOSED`), or with a permanent error; it goes on trying. */
  ready(options?: { signal?: AbortSignal }): Promise<void>
  /** Everyone on the roll, `leaving` and `suspended` ones too; the same frozen array until something changes. */
  readonly instances: readonly ServiceInstance[]
  /** True while the table cannot be kept current; the last one known stays. */
  readonly stale: boolean
  readonly staleSince: Date | undefined
  /** etcd's revision up to which the table is complete. */
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
  /** Names that have a live instance now, sorted. Rejects with an `ERR_ETCD_*` code or `ERR_INVALID_OPTION`. */
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

/** Answers an operator's questions as one plain object; times in ms unless said otherwise. */
export interface RegistryStatus {
  etcd: {
    hosts: string[]
    /** The member that answered last. */
    member: string | undefined
    connection: 'idle' | 'up' | 'down' | 'closed'
    since: string
    lastError: ErrorStatus | undefined
  }
  lease: {
    state: 'idle' | 'granting' | 'held' | 'lost'
    /** In hexadecimal, as etcdctl has it. */
    id: string | undefined
    /** Seconds, as granted. */
    ttl: number | undefined
    expiresIn: number | undefined
    lastAckAge: number | undefined
    /** Times that a held lease was lost. */
    losses: number
  }
  registrations: {
    name: string
    id: string
    keys: string[]
    state: RegistrationState
    since: string
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
