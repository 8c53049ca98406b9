import { isIP, isIPv6 } from 'node:net'
import { authority, isHost, isPort } from '../etcd/support/host.ts'

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

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/
const PROTOCOL = /^[a-z][a-z0-9+.-]{0,31}$/
/** URL schemes that reach no server, and that a browser runs or opens. */
const WITHOUT_SERVER: ReadonlySet<string> = new Set([
  'about',
  'blob',
  'data',
  'file',
  'filesystem',
  'javascript',
  'vbscript',
  'view-source',
])
/** Control and format characters, line separators, halves of surrogate pairs, and U+FFFD, which replaces what is no text. */
const LINE = /^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\ufffd]*$/u
/** Control characters but tabs and line breaks, and halves of surrogate pairs. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it refuses
const PAIR_VALUE = /^[^\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f-\u009f\p{Cs}]*$/u
const ENDPOINT =
  /^(([a-z][a-z0-9+.-]{0,31}):\/\/(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):(\d{1,5}))(?:[/?#].*)?$/

export const isName = (value: unknown): value is string => typeof value === 'string' && NAME.test(value)
export const isId = (value: unknown): value is string =>
  isLine(value, 300) && value !== '' && !value.includes('/')
export const ID_RULE = 'text of 1 to 300 characters without "/" and control or format characters'
export const isProtocol = (value: unknown): value is string =>
  typeof value === 'string' && PROTOCOL.test(value) && !WITHOUT_SERVER.has(value)
/** A version, a zone or the name of a metadata pair: may be empty. */
export const isLabel = (value: unknown): value is string => isLine(value, 256)
export const LABEL_RULE = 'text of up to 256 characters without control or format characters'
/** Of a metadata pair: may have several lines. */
export const isPairValue = (value: unknown): value is string =>
  typeof value === 'string' && value.length <= 16_384 && PAIR_VALUE.test(value)
export const PAIR_VALUE_RULE =
  'text of up to 16384 characters without control characters but tabs and line breaks'
export const MOST_PAIRS = 256
/** Of what we write. */
export const isWeight = (value: unknown): value is number => isWhole(value, 0, 1000)
/** Others write larger ones than we do. */
export const MOST_WEIGHT = 1_000_000
/** Of what was read: a whole number, also as text, and `MOST_WEIGHT` for a larger one; `undefined` for anything else. */
export function readWeight(value: unknown): number | undefined {
  const weight = typeof value === 'string' && /^\d+$/.test(value) ? Number(value) : value
  if (typeof weight !== 'number' || !(weight > MOST_WEIGHT || isWhole(weight, 0, MOST_WEIGHT)))
    return undefined
  return Math.min(weight, MOST_WEIGHT)
}

function isLine(value: unknown, longest: number): value is string {
  return typeof value === 'string' && value.length <= longest && LINE.test(value)
}

function isWhole(value: unknown, least: number, most: number): value is number {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= most
}

/** Of `scheme://host:port`, with a `url` that ends there; what follows is ignored. `undefined` if it is not one. */
export function parseEndpoint(text: string): (Endpoint & { url: string }) | undefined {
  const match = ENDPOINT.exec(text)
  if (match === null) return undefined
  const [, url, protocol, place, digits] = match as unknown as [string, string, string, string, string]
  const host = place.startsWith('[') ? place.slice(1, -1) : place
  const port = Number(digits)
  if (!isProtocol(protocol) || !isPort(port)) return undefined
  if (place !== host ? !isIPv6(host) : isIP(host) === 0 && !isHost(host)) return undefined
  return { protocol, host, port, url }
}

/** Of `host:port`, IPv6 in brackets. `undefined` if it is not one. */
export function parseAuthority(value: string): Omit<Endpoint, 'protocol'> | undefined {
  const endpoint = /[/?#]/.test(value) ? undefined : parseEndpoint(`x://${value}`)
  return endpoint && { host: endpoint.host, port: endpoint.port }
}

/** `host:port` of the endpoint with this protocol, else of the instance. */
export function authorityFor(protocol: string, { host, port, endpoints }: InstanceFields): string {
  const parsed = endpoints.map(parseEndpoint).find(endpoint => endpoint?.protocol === protocol)
  return authority(parsed?.host ?? host, parsed?.port ?? port)
}

/** With the host filled in where it has none, as in `grpc://:9000`. */
export function endpointAt(host: string, endpoint: string): string {
  return endpoint.replace(/:\/\/:(\d+)$/, (_, port: string) => `://${authority(host, Number(port))}`)
}

/** An instance before it is known under which key. */
export type InstanceFields = Omit<ServiceInstance, 'key'>

export interface InstanceInput extends Endpoint {
  id: string
  name: string
  version?: string
  zone?: string
  weight?: number
  metadata?: Readonly<Record<string, string>> | undefined
  /** Default: the one of protocol, host and port. */
  endpoints?: readonly string[] | undefined
  status?: InstanceStatus
}

type Metadata = ServiceInstance['metadata']

const NO_METADATA: Metadata = Object.freeze(Object.create(null))

/** What `Object.create(null)` gives is a hash table to V8, slower to make and three times as large. */
function frozenMetadata(metadata: Metadata): Metadata {
  for (const _ in metadata) return Object.freeze(Object.assign(Object.setPrototypeOf({}, null), metadata))
  return NO_METADATA
}

/** A deeply frozen instance; metadata has no prototype. */
export function makeInstance(input: InstanceInput, key: string): ServiceInstance {
  const {
    id,
    name,
    host,
    port,
    protocol,
    version = '',
    zone = '',
    weight = 100,
    metadata,
    status = 'up',
  } = input
  const endpoints = input.endpoints ?? [`${protocol}://${authority(host, port)}`]
  return Object.freeze({
    id,
    name,
    host,
    port,
    protocol,
    version,
    zone,
    weight,
    metadata: metadata === undefined ? NO_METADATA : frozenMetadata(metadata),
    endpoints: Object.freeze([...endpoints]),
    status,
    key,
  })
}

/** Equal in everything that a reader can see. */
export function sameInstance(a: ServiceInstance, b: ServiceInstance): boolean {
  return (
    a.id === b.id &&
    a.status === b.status &&
    a.weight === b.weight &&
    a.version === b.version &&
    a.zone === b.zone &&
    a.name === b.name &&
    a.key === b.key &&
    a.endpoints.length === b.endpoints.length &&
    a.endpoints.every((endpoint, i) => endpoint === b.endpoints[i]) &&
    sameMetadata(a.metadata, b.metadata)
  )
}

function sameMetadata(a: ServiceInstance['metadata'], b: ServiceInstance['metadata']): boolean {
  if (a === b) return true
  const keys = Object.keys(a)
  return keys.length === Object.keys(b).length && keys.every(key => a[key] === b[key])
}

/** Whether it may get traffic. */
export const isEligible = ({ status, weight }: ServiceInstance): boolean => status === 'up' && weight > 0
