import type { KeyRange } from '../etcd/watch/key-range.ts'
import type { InstanceFields, ServiceInstance } from '../instance/instance.ts'

/** One key and its value, as written. */
export interface Entry {
  key: string
  value: string
}

/** An entry of a format that may have `isAnother`. */
export interface ResolvedEntry extends Entry {
  isAnother?: ((found: Buffer) => boolean) | undefined
}

/** One key and its value, as found. A key that is not UTF-8 is skipped before a format sees it. */
export interface RawEntry {
  key: string
  value: Buffer
}

/** The instance, or why there is none in it; `ignore` for a key that is not meant to be one, such as one of something else. */
export type DecodedInstance = { instance: ServiceInstance } | { skip: string } | { ignore: true }

/**
 * What a key says of one instance, or of several, as a map of nodes does: up to 1000, each with an id of its own in that
 * key. Those that are skipped take nothing from the others.
 */
export type Decoded = DecodedInstance | { instances: readonly DecodedInstance[] }

/** What a format can say; what it can't is lost, and said once at registration. */
export interface Capabilities {
  /** `false`: others read it, we only write it. */
  read: boolean
  /** `false`: a suspended or leaving instance has no key. */
  status: boolean
  version: boolean
  zone: boolean
  /** Or whether it carries this one as it is, which is between 1 and 1000. */
  weight: boolean | ((weight: number) => boolean)
  metadata: boolean
  /** More than one URL for an instance. */
  endpoints: boolean
  /**
   * Default `true`. A name: not carried, but what readers take for granted. A function: whether it carries this one, while
   * an instance of another one has no key.
   */
  protocol?: boolean | string | ((protocol: string) => boolean)
  /** Default `true`. `false`: readers expect addresses, and a host name beside them confuses these. */
  hostNames?: boolean
  /** Names in the metadata that the format itself has a use for. */
  reserved?: readonly string[]
}

/**
 * How instances stand in etcd. Pure functions: no I/O, no state, and `decode` never throws, whatever it is given.
 * `namespace` comes without a slash at its end (but see `keepsSlash`), `''` for none.
 *
 * @example
 * ```ts
 * const csv: InstanceFormat = {
 *   name: 'csv',
 *   capabilities: { read: true, status: false, version: true, zone: false, weight: false, metadata: false, endpoints: false },
 *   encode: ({ name, id, endpoints, version }, { namespace }) => [
 *     { key: `${namespace}/${name}/${id}`, value: `${endpoints[0]},${version}` },
 *   ],
 *   ranges: (name, namespace) => [{ prefix: `${namespace}/${name}/` }],
 *   decode({ key, value }, { name, namespace }) {
 *     const [url, version] = value.toString().split(',')
 *     const id = key.slice(`${namespace}/${name}/`.length)
 *     return decodeInstance({ name, id, endpoints: [url], version }, key)
 *   },
 *   root: namespace => `${namespace}/`,
 *   serviceOf(key, namespace) {
 *     const [name, id, ...more] = key.slice(namespace.length + 1).split('/')
 *     return id !== undefined && more.length === 0 ? name : undefined
 *   },
 * }
 * createRegistry({ format: csv })
 * ```
 */
export interface InstanceFormat {
  readonly name: string
  readonly capabilities: Capabilities
  /**
   * Root of its keys: `fixed` by an option of its own or by where others look, or a `default` for registries that were given no `namespace`.
   * Where it is left out the registry's counts, given or not.
   */
  readonly namespace?: { readonly fixed: string } | { readonly default: string }
  /** Its other readers put a slash after the namespace although it ends in one: it comes with both. */
  readonly keepsSlash?: true
  /** What makes two keys one instance: nothing (`key`, the default), or that they give the same host and port. */
  readonly identity?: 'key' | 'address'
  /** Its other readers list without the slash at the end, and fail at what is none of theirs. */
  readonly listsWithoutSlash?: true
  /** What its own registry takes where nobody says anything; of several formats the first one's counts, and the longest `drainDelay`. */
  readonly defaults?: {
    /** Lease time in seconds; without it 10. */
    readonly ttl?: number
    /** How long its other readers may take to see that an instance left, in ms; without it 1000. */
    readonly drainDelay?: number
    /** Without it `host:port`. The same for the same address, so that an instance that comes back replaces itself. */
    id?(service: { name: string; address: string }): string
  }
  /** Keys and values of an instance. Without `capabilities.status` it is only asked for instances that are `up`. */
  encode(instance: InstanceFields, context: { namespace: string; leaseId: string }): readonly Entry[]
  /**
   * Whether readers keep what was `found` at a key beside the `value` that replaces it. Then the key is deleted first, in a
   * revision of its own.
   */
  isAnother?(found: Buffer, value: string): boolean
  /** Where the instances of a service are found. */
  ranges(name: string, namespace: string): readonly KeyRange[]
  decode(entry: RawEntry, context: { namespace: string; name: string }): Decoded
  /** Where the instances of all services are found; ends in `/`, or is empty. */
  root(namespace: string): string
  /** The service that a key belongs to, `undefined` for a key of another kind. */
  serviceOf(key: string, namespace: string): string | undefined
}

/** Not copied by `{ ...format }`, which is another format. */
const MADE_OF = Symbol.for('etcd-register.format')

/** The format that a factory of ours makes of these options. */
export function made(format: InstanceFormat, ...options: readonly unknown[]): InstanceFormat {
  Object.defineProperty(format, MADE_OF, { value: JSON.stringify([format.name, ...options]) })
  return Object.freeze(format)
}

/** Whether they read and write alike: they are one object, or were made by one factory with the same options. */
export function sameFormat(one: InstanceFormat, other: InstanceFormat): boolean {
  const [made, alsoMade] = [one, other].map(format => Object.getOwnPropertyDescriptor(format, MADE_OF)?.value)
  return one === other || (made !== undefined && made === alsoMade)
}

/** Longer values are skipped by readers and refused by writers. In bytes. */
export const MAX_VALUE_BYTES = 65_536
