import { authority, isWildcard } from '../etcd/support/host.ts'
import type { Endpoint, InstanceStatus } from '../instance/instance.ts'
import {
  ID_RULE,
  isId,
  isLabel,
  isPairValue,
  isProtocol,
  LABEL_RULE,
  MOST_PAIRS,
  makeInstance,
  PAIR_VALUE_RULE,
  parseAuthority,
  parseEndpoint,
  readWeight,
} from '../instance/instance.ts'
import type { DecodedInstance } from './format.ts'

const MOST_ENDPOINTS = 32
const NO_PAIRS = '"metadata" is not an object of strings, numbers, true and false'
const NO_URLS = '"endpoints" is not a list of URLs such as http://10.0.0.5:8000'

/** What a value said, unchecked but for the name. Where it is, `address` or `endpoints` says. */
export interface FoundInstance {
  name: string
  /** Default: `host:port`. */
  id?: unknown
  /** `host:port`, IPv6 in brackets. */
  address?: unknown
  /** Of an `address`; default `http`. */
  protocol?: unknown
  /** URLs with a port; the first one is the address. */
  endpoints?: unknown
  version?: unknown
  zone?: unknown
  /** A whole number, also as text; default 100. */
  weight?: unknown
  /** Text by names; numbers, `true` and `false` are read as text. */
  metadata?: unknown
  status?: unknown
}

/**
 * The instance if everything in it is sound and bounded, else the reason to skip it; never throws. Bounds: an id of 300
 * characters without `/`, version and zone of 256 each, 256 pairs of metadata with names of 256 and values of 16,384
 * characters, 32 endpoints. A weight above 1,000,000 counts as that. Control characters are refused everywhere but tabs
 * and line breaks in values of metadata.
 */
export function decodeInstance(
  found: FoundInstance,
  key: string,
): Exclude<DecodedInstance, { ignore: true }> {
  const { name } = found
  // What Go reads as nothing said.
  const version = found.version ?? ''
  const zone = found.zone ?? ''
  const weight = readWeight(found.weight ?? 100)
  const status = found.status ?? 'up'
  if (!isLabel(version)) return skip(`"version" is not ${LABEL_RULE}`)
  if (!isLabel(zone)) return skip(`"zone" is not ${LABEL_RULE}`)
  if (!isStatus(status)) return skip('"status" is not one of up, leaving, suspended')
  const metadata = metadataOf(found.metadata ?? {})
  if (typeof metadata === 'string') return skip(metadata)
  if (weight === undefined) return skip('"weight" is not a whole number from 0 on')
  const place = found.endpoints === undefined ? endpointOf(found) : endpointsOf(found.endpoints)
  if (typeof place === 'string') return skip(place)
  const { host, port, protocol, endpoints } = place
  const { id = authority(host, port) } = found
  if (!isId(id)) return skip(`"id" is not ${ID_RULE}`)
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

/** The pairs, where numbers and booleans are text, and `null` is `''`, as Go has it; or what is wrong with them. */
function metadataOf(found: unknown): Record<string, string> | string {
  if (typeof found !== 'object' || found === null || Array.isArray(found)) return NO_PAIRS
  const names = Object.keys(found)
  if (names.length > MOST_PAIRS) return `"metadata" has more than ${MOST_PAIRS} pairs`
  let pairs = found as Record<string, string>
  for (const name of names) {
    if (!isLabel(name)) return `a name in "metadata" is not ${LABEL_RULE}`
    const value: unknown = pairs[name]
    const text = typeof value === 'string' ? value : value === null ? '' : pairText(value)
    if (text === undefined) return NO_PAIRS
    if (!isPairValue(text)) return `a value in "metadata" is not ${PAIR_VALUE_RULE}`
    if (text === value) continue
    // Copied once, for the first that is no text: the bound keeps it small.
    if (pairs === found) pairs = Object.assign(Object.create(null), found)
    pairs[name] = text
  }
  return pairs
}

/** A value in metadata as text; `undefined` where it is none. */
export function pairText(value: unknown): string | undefined {
  if (typeof value === 'string') return value
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : undefined
}
