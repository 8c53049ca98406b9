import { isIP, isIPv6 } from 'node:net'
import { authority, isHost } from './address.ts'
import type { InstanceStatus, ServiceInstance } from './types.ts'

const NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,252}$/
const PROTOCOL = /^[a-z][a-z0-9+.-]{0,31}$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it refuses
const TEXT = /^[^\u0000-\u001f\u007f\ufffd]{1,512}$/
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it refuses
const ID = /^[^/\u0000-\u001f\u007f\ufffd]{1,300}$/
const ENDPOINT =
  /^(([a-z][a-z0-9+.-]{0,31}):\/\/(\[[0-9a-fA-F:.]{2,45}\]|[A-Za-z0-9._-]{1,253}):(\d{1,5}))(?:[/?#].*)?$/

export const isName = (value: unknown): value is string => typeof value === 'string' && NAME.test(value)
export const isId = (value: unknown): value is string => typeof value === 'string' && ID.test(value)
export const ID_RULE = '1 to 300 characters without "/" and control characters'
export const isProtocol = (value: unknown): value is string =>
  typeof value === 'string' && PROTOCOL.test(value)
/** One line of printable text, not empty. */
export const isText = (value: unknown): value is string => typeof value === 'string' && TEXT.test(value)
export const isPort = (value: unknown): value is number => isWhole(value, 1, 65_535)
export const isWeight = (value: unknown): value is number => isWhole(value, 0, 1000)

function isWhole(value: unknown, least: number, most: number): value is number {
  return Number.isInteger(value) && (value as number) >= least && (value as number) <= most
}

export interface Endpoint {
  protocol: string
  host: string
  port: number
}

/** Of `scheme://host:port`, with a `url` that ends there; what follows is ignored. `undefined` if it is not one. */
export function parseEndpoint(text: string): (Endpoint & { url: string }) | undefined {
  const match = ENDPOINT.exec(text)
  if (match === null) return undefined
  const [, url, protocol, place, digits] = match as unknown as [string, string, string, string, string]
  const host = place.startsWith('[') ? place.slice(1, -1) : place
  const port = Number(digits)
  if (!isPort(port) || (place !== host ? !isIPv6(host) : isIP(host) === 0 && !isHost(host))) return undefined
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
export const isCallable = ({ status, weight }: ServiceInstance): boolean => status === 'up' && weight > 0
