import { invalidOption, kindOf, refusedOption } from '../etcd/support/errors.ts'
import { isHost, isPort, isWildcard } from '../etcd/support/host.ts'
import { checkNames } from '../etcd/support/option-names.ts'
import {
  endpointAt,
  ID_RULE,
  isId,
  isLabel,
  isName,
  isPairValue,
  isProtocol,
  isWeight,
  LABEL_RULE,
  MOST_PAIRS,
  PAIR_VALUE_RULE,
  parseEndpoint,
} from './instance.ts'

/** With every property, none of them `undefined`. */
type Complete<T> = { [K in keyof T]-?: Exclude<T[K], undefined> }

export interface ResolvedService extends Complete<Omit<ServiceOptions, 'host' | 'id'>> {
  host: string | undefined
  id: string | undefined
  /** Whether somebody gave it, here or in `advertise`; else it is the default. */
  protocolGiven: boolean
  /** Of the default id, where several share an address. */
  idSuffix?: string
}

/** Besides the one of its own port; readers take 32. */
const MOST_ADVERTISED = 31

export const SERVICE_OPTIONS: readonly (keyof ServiceOptions)[] = [
  'name',
  'port',
  'host',
  'id',
  'protocol',
  'advertise',
  'version',
  'zone',
  'weight',
  'metadata',
]

/** Throws `ERR_INVALID_OPTION` for the first option that breaks its rule. */
export function resolveService(service: ServiceOptions): ResolvedService {
  checkNames('service options', service, SERVICE_OPTIONS)
  const { name, port, host, id, protocol = 'http', advertise = [] } = service
  validateName(name)
  if (!isPort(port)) throw invalidOption('port', 'a whole number from 1 to 65535', port)
  if (host !== undefined && !(typeof host === 'string' && isHost(host) && !isWildcard(host))) {
    throw invalidOption('host', 'an IP address without brackets or a host name that others can reach', host)
  }
  if (id !== undefined && !isId(id)) throw invalidOption('id', ID_RULE, id)
  if (!isProtocol(protocol)) {
    throw invalidOption('protocol', 'a URL scheme such as "http"', protocol)
  }
  if (
    !Array.isArray(advertise) ||
    advertise.length > MOST_ADVERTISED ||
    !advertise.every(isFurtherEndpoint)
  ) {
    const rule = `up to ${MOST_ADVERTISED} URLs such as "grpc://10.0.0.5:9000", or "grpc://:9000" for the same host`
    throw invalidOption('advertise', rule, advertise)
  }
  const protocolGiven = service.protocol !== undefined || advertise.length > 0
  const place = { name, port, host, id, protocol, protocolGiven, advertise: [...advertise] }
  return { ...place, ...resolveDetails(service) }
}

function isFurtherEndpoint(endpoint: unknown): boolean {
  if (typeof endpoint !== 'string' || /[/?#]/.test(endpoint.replace('://', ''))) return false
  const parsed = parseEndpoint(endpointAt('localhost', endpoint))
  return parsed !== undefined && !isWildcard(parsed.host)
}

/** The part of a service that `update()` may change. */
export type Details = Pick<ResolvedService, 'version' | 'zone' | 'weight' | 'metadata'>

function resolveDetails(service: Pick<ServiceOptions, keyof Details>): Details {
  const { version = '', zone = '', weight = 100, metadata = {} } = service
  if (!isLabel(version)) throw invalidOption('version', LABEL_RULE, version)
  if (!isLabel(zone)) throw invalidOption('zone', LABEL_RULE, zone)
  if (!isWeight(weight)) throw invalidOption('weight', 'a whole number from 0 to 1000', weight)
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) {
    throw invalidOption('metadata', 'an object of strings', metadata)
  }
  const pairs = Object.entries(metadata)
  if (pairs.length > MOST_PAIRS) throw invalidOption('metadata', `up to ${MOST_PAIRS} pairs`, pairs.length)
  for (const [name, value] of pairs) {
    if (!isLabel(name)) throw invalidOption('metadata', `an object whose names are ${LABEL_RULE}`, name)
    if (typeof value !== 'string') throw invalidOption(`metadata.${name}`, PAIR_VALUE_RULE, kindOf(value))
    if (!isPairValue(value)) throw invalidOption(`metadata.${name}`, PAIR_VALUE_RULE, value)
  }
  return { version, zone, weight, metadata: Object.assign(Object.create(null), metadata) }
}

/** Throws `ERR_INVALID_OPTION`; an option that is `undefined` stays as it was. */
export function resolvePatch(before: Details, patch: Partial<Details>): Details {
  checkNames('options of an update', patch, SERVICE_OPTIONS)
  const details = { ...before }
  for (const [option, value] of Object.entries(patch)) {
    if (!Object.hasOwn(before, option)) {
      throw refusedOption(option, `one of ${Object.keys(before).join(', ')} in an update; the rest is fixed`)
    }
    if (value !== undefined) Object.assign(details, { [option]: value })
  }
  return resolveDetails(details)
}

/** Throws `ERR_INVALID_OPTION`. `source`: where the name came from, if not from the option. */
export function validateName(name: unknown, source?: string): asserts name is string {
  if (isName(name)) return
  const option = source === undefined ? 'name' : `name (from ${source})`
  throw invalidOption(option, '1 to 253 of [A-Za-z0-9._-], the first a letter or a digit', name)
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
