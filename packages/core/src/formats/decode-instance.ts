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

const STATUSES: readonly unknown[] = ['up', 'leaving', 'suspended']
const MOST_ENDPOINTS = 32

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
  const [version, zone] = [found.version ?? '', found.zone ?? '']
  const [weight, status] = [found.weight ?? 100, found.status ?? 'up']
  if (!isText(id)) return skip('"id" is not a line of text')
  if (typeof version !== 'string') return skip('"version" is not a string')
  if (typeof zone !== 'string') return skip('"zone" is not a string')
  if (!STATUSES.includes(status)) return skip('"status" is not one of up, leaving, suspended')
  const metadata = metadataOf(found.metadata ?? {})
  if (metadata === undefined) return skip('"metadata" is not an object of strings')
  if (!isWeight(weight)) return skip('"weight" is not a whole number from 0 to 1000')
  const endpoints = found.endpoints === undefined ? endpointOf(found) : endpointsOf(found.endpoints)
  if (typeof endpoints === 'string') return skip(endpoints)
  const fields = { id, name, version, zone, weight, metadata, status: status as InstanceStatus, ...endpoints }
  return { instance: makeInstance(fields, key) }
}

const skip = (reason: string): { skip: string } => ({ skip: reason })

/** The one of an address, or what is wrong with it. */
function endpointOf({ address, protocol = 'http' }: FoundInstance): Endpoint | string {
  const parsed = typeof address === 'string' ? parseAuthority(address) : undefined
  if (parsed === undefined) return 'not host:port'
  if (isWildcard(parsed.host)) return 'an address that nobody can call'
  return isProtocol(protocol) ? { ...parsed, protocol } : '"protocol" is not a URL scheme'
}

function endpointsOf(endpoints: unknown): (Endpoint & { endpoints: string[] }) | string {
  if (!Array.isArray(endpoints) || endpoints.length > MOST_ENDPOINTS) {
    return `"endpoints" is not a list of up to ${MOST_ENDPOINTS} URLs`
  }
  // One that we cannot read, such as `kafka://`, takes nothing from the others.
  const good = endpoints.filter(isReachable)
  if (good.length === 0 || !endpoints.every(endpoint => typeof endpoint === 'string')) {
    return '"endpoints" is not a list of URLs such as http://10.0.0.5:8000'
  }
  return { ...parseEndpoint(good[0])!, endpoints: good.map(trimmed) }
}

/** At a wildcard, whoever calls would find himself. */
function isReachable(endpoint: unknown): boolean {
  const parsed = typeof endpoint === 'string' ? parseEndpoint(endpoint) : undefined
  return parsed !== undefined && !isWildcard(parsed.host)
}

/** Without a path or a query, such as the `?isSecure=false` of old Kratos. */
function trimmed(endpoint: string): string {
  const rest = endpoint.indexOf('://') + 3
  const end = endpoint.slice(rest).search(/[/?#]/)
  return end < 0 ? endpoint : endpoint.slice(0, rest + end)
}

/** The pairs, where `null` is `''`, as Go has it; `undefined` if there is anything else among them. */
function metadataOf(found: unknown): Record<string, string> | undefined {
  if (typeof found !== 'object' || found === null || Array.isArray(found)) return undefined
  let pairs = found as Record<string, string>
  for (const [name, value] of Object.entries(found)) {
    if (value === null) pairs = Object.assign(Object.create(null), pairs, { [name]: '' })
    else if (typeof value !== 'string') return undefined
  }
  return pairs
}
