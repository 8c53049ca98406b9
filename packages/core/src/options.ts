import { isHere, isHost, isWildcard } from './address.ts'
import { type AuthSource, resolveAuth, resolveTls, type Tls } from './credentials.ts'
import { invalidOption, kindOf, refusedOption } from './errors.ts'
import { checkedNamespace } from './formats/format-options.ts'
import {
  type PlacedFormat,
  type RegistryNamespace,
  refuseSharedKeys,
  resolveFormats,
} from './formats/index.ts'
import { resolveHosts, type SrvLookup } from './hosts.ts'
import {
  endpointAt,
  ID_RULE,
  isId,
  isLabel,
  isName,
  isPairValue,
  isPort,
  isProtocol,
  isWeight,
  LABEL_RULE,
  MOST_PAIRS,
  PAIR_VALUE_RULE,
  parseEndpoint,
} from './instance.ts'
import { resolveLogger } from './logger.ts'
import { checkNames } from './option-names.ts'
import type { Allow, Logger, RegistryOptions, ServiceOptions } from './types.ts'

/** Everything decided; what is built on it knows no default of a registry or a service. */
export interface ResolvedOptions {
  /** `host:port`, without the scheme; empty where DNS SRV records name them. */
  hosts: readonly string[]
  srv?: SrvLookup
  secure: boolean
  auth: AuthSource | undefined
  tls: Tls
  namespace: RegistryNamespace
  ttl: number
  formats: readonly PlacedFormat[]
  allow: Allow | undefined
  requestTimeout: number
  logger: Logger
}

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

export const REGISTRY_OPTIONS: readonly (keyof RegistryOptions)[] = [
  'hosts',
  'auth',
  'tls',
  'namespace',
  'ttl',
  'format',
  'allow',
  'requestTimeout',
  'logger',
]

export function optionsNamed<Options extends object>(names: readonly string[], options: Options): Options {
  return Object.fromEntries(Object.entries(options).filter(([name]) => names.includes(name))) as Options
}

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

/** Throws `ERR_INVALID_OPTION` for the first option that breaks its rule. A variable that is empty counts as not set. */
export function resolveOptions(
  options: RegistryOptions = {},
  environment: NodeJS.ProcessEnv = process.env,
): ResolvedOptions {
  const env = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''))
  checkNames('options', options, REGISTRY_OPTIONS)
  const { requestTimeout = 3000, allow } = options
  const given = options.namespace
  const namespace: RegistryNamespace =
    given === undefined ? { default: '/services' } : { given: given === '/' ? '' : checkedNamespace(given) }
  const formats = resolveFormats(options.format ?? 'json', namespace)
  refuseSharedKeys(formats)
  const { ttl = formats[0]!.format.defaults?.ttl ?? 10 } = options
  if (!Number.isInteger(ttl) || ttl < 2 || ttl > 86_400) {
    throw invalidOption('ttl', 'a whole number of seconds from 2 to 86400', ttl)
  }
  if (allow !== undefined && typeof allow !== 'function') throw invalidOption('allow', 'a function', allow)
  const { hosts, secure, srv, domain } = resolveHosts(options, env)
  const tls = secure ? resolveTls(options.tls, env) : {}
  // As etcdctl does it: who can forge a DNS answer cannot have a certificate for the domain.
  if (secure && domain !== undefined) tls.serverName ??= domain
  return {
    hosts,
    ...(srv && { srv }),
    secure,
    auth: resolveAuth(options.auth, env),
    tls,
    namespace,
    ttl,
    formats,
    allow,
    requestTimeout: milliseconds('requestTimeout', requestTimeout, 1),
    logger: resolveLogger(options.logger),
  }
}

/** One warning where others on the way to etcd can read the password. */
export function warnOfPlainPassword({ auth, secure, hosts, srv, logger }: ResolvedOptions): void {
  const remote = hosts.filter(host => !isHere(host))
  const where = srv?.name ?? remote.join(', ')
  if (auth === undefined || secure || where === '') return
  logger.warn(
    { hosts: where },
    `The password for etcd goes over http:// to ${where}: others on that network can read it. Use https://, in "hosts" or ETCD_ENDPOINTS.`,
  )
}

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

/** Throws `ERR_INVALID_OPTION`. */
export function milliseconds(option: string, value: number, least = 0, most = 600_000): number {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw invalidOption(option, `a whole number of milliseconds from ${least} to ${most}`, value)
  }
  return value
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

/** Of `deregister()`: milliseconds. Throws `ERR_INVALID_OPTION`. */
export function timeoutOf(options: { timeout?: number | undefined }): number {
  checkNames('options of deregister()', options, ['timeout'])
  const { timeout = 3000 } = options
  return milliseconds('timeout', timeout)
}

/** Throws `ERR_INVALID_OPTION`. `source`: where the name came from, if not from the option. */
export function validateName(name: unknown, source?: string): asserts name is string {
  if (isName(name)) return
  const option = source === undefined ? 'name' : `name (from ${source})`
  throw invalidOption(option, '1 to 253 of [A-Za-z0-9._-], the first a letter or a digit', name)
}
