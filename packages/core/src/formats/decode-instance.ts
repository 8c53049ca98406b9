import { isWildcard } from '../address.ts'
import {
  type Endpoint,
  isProtocol,
  isText,
  isWeight,
  makeInstance,
  parseAuthority,
  parseEndpoint,
} from '../instance.ts'
import type { InstanceStatus } from '../types.ts'
import type { Decoded } from './format.ts'

const MOST_ENDPOINTS = 32
const NO_URLS = '"endpoints" is not a list of URLs such as http://10.0.0.5:8000'

/** What a value said, unchecked but for the name. Where it is, `address` or `endpoints` says. */
export interface FoundInstance {
  name: string
  id: unknown
  /** `host:port`, IPv6 in brackets. */
  address?: unknown
  /** Of an `address`; default `http`. */
  protocol?: unknown
  /** URLs with a port; the first one is the address. */
  endpoints?: unknown
  version?: unknown
  zone?: unknown
  weight?: unknown
  metadata?: unknown
  status?: unknown
}

/** The instance if everything in it is sound and bounded, else the reason to skip it. Never throws. */
export function decodeInstance(found: FoundInstance, key: string): Exclude<Decoded, { ignore: true }> {
  const { name, id } = found
  // What Go reads as nothing said.
  const version = found.version ?? ''
  const zone = found.zone ?? ''
  const weight = found.weight ?? 100
  const status = found.status ?? 'up'
  if (!isText(id)) return skip('"id" is not a line of text')
  if (typeof version !== 'string') return skip('"version" is not a string')
  if (typeof zone !== 'string') return skip('"zone" is not a string')
  if (!isStatus(status)) return skip('"status" is not one of up, leaving, suspended')
  const metadata = metadataOf(found.metadata ?? {})
  if (metadata === undefined) return skip('"metadata" is not an object of strings')
  if (!isWeight(weight)) return skip('"weight" is not a whole number from 0 to 1000')
  const place = found.endpoints === undefined ? endpointOf(found) : endpointsOf(found.endpoints)
  if (typeof place === 'string') return skip(place)
  const { host, port, protocol, endpoints } = place
  const fields = { id, name, host, port, protocol, version, zone, weight, metadata, endpoints, status }
  return { instance: makeInstance(fields, key) }
}

const skip = (reason: string): { skip: string } => ({ skip: reason })

interface Place extends Endpoint {
  endpoints?: string[]
}

/** The one of an address, or what is wrong with it. */
function endpointOf({ address, protocol = 'http' }: FoundInstance): Place | string {
  const parsed = typeof address === 'string' ? parseAuthority(address) : undefined
  if (parsed === undefined) return 'not host:port'
  if (isWildcard(parsed.host)) return 'an address that nobody can call'
  return isProtocol(protocol) ? { ...parsed, protocol } : '"protocol" is not a URL scheme'
}

/** The first one that can be called; one that we cannot read, such as `kafka://`, takes nothing from the others. */
function endpointsOf(endpoints: unknown): Place | string {
  if (!Array.isArray(endpoints) || endpoints.length > MOST_ENDPOINTS) {
    return `"endpoints" is not a list of up to ${MOST_ENDPOINTS} URLs`
  }
  let place: (Endpoint & { endpoints: string[] }) | undefined
  for (const endpoint of endpoints) {
    if (typeof endpoint !== 'string') return NO_URLS
    const parsed = parseEndpoint(endpoint)
    // At a wildcard, whoever calls would find himself.
    if (parsed === undefined || isWildcard(parsed.host)) continue
    // Without a path or a query, such as the `?isSecure=false` of old Kratos.
    const { url, host, port, protocol } = parsed
    if (place === undefined) place = { host, port, protocol, endpoints: [url] }
    else place.endpoints.push(url)
  }
  return place ?? NO_URLS
}

function isStatus(value: unknown): value is InstanceStatus {
  return value === 'up' || value === 'leaving' || value === 'suspended'
}

/** The pairs, where `null` is `''`, as Go has it; `undefined` if there is anything else among them. */
function metadataOf(found: unknown): Record<string, string> | undefined {
  if (typeof found !== 'object' || found === null || Array.isArray(found)) return undefined
  let pairs = found as Record<string, string>
  for (const name of Object.keys(found)) {
    const value: unknown = (found as Record<string, unknown>)[name]
    if (value === null) pairs = Object.assign(Object.create(null), pairs, { [name]: '' })
    else if (typeof value !== 'string') return undefined
  }
  return pairs
}
