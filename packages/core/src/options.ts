import { isIP } from 'node:net'
import { isHost, isWildcard } from './address.ts'
import { type Auth, resolveAuth, resolveTls, type Tls } from './credentials.ts'
import { checkNames, invalidOption } from './errors.ts'
import { resolveNamespace } from './formats/format-options.ts'
import {
  type PlacedFormat,
  type RegistryNamespace,
  refuseSharedKeys,
  resolveFormats,
} from './formats/index.ts'
import { endpointAt, ID_RULE, isId, isName, isPort, isProtocol, isWeight, parseEndpoint } from './instance.ts'
import { resolveLogger } from './logger.ts'
import type { Logger, RegistryOptions, ServiceOptions } from './types.ts'

export { checkNames }

/** Everything decided; what is built on it knows no default of a registry or a service. */
export interface ResolvedOptions {
  /** `host:port`, without the scheme. */
  hosts: readonly string[]
  secure: boolean
  auth: Auth | undefined
  tls: Tls
  namespace: RegistryNamespace
  ttl: number
  formats: readonly PlacedFormat[]
  requestTimeout: number
  logger: Logger
}

export interface ResolvedService extends Required<Omit<ServiceOptions, 'host' | 'id'>> {
  host: string | undefined
  id: string | undefined
  /** Whether somebody gave it, here or in an endpoint; else it is the default. */
  protocolGiven: boolean
  /** Of the default id, where several share an address. */
  idSuffix?: string
}

/** Besides the one of its own port; readers take 32. */
const MOST_ENDPOINTS = 31

export const REGISTRY_OPTIONS: readonly (keyof RegistryOptions)[] = [
  'hosts',
  'auth',
  'tls',
  'namespace',
  'ttl',
  'format',
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
  'endpoints',
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
  const { requestTimeout = 3000 } = options
  const given = options.namespace
  const namespace: RegistryNamespace =
    given === undefined ? { default: '/services' } : { given: resolveNamespace(given) }
  const formats = resolveFormats(options.format ?? 'json', namespace)
  refuseSharedKeys(formats)
  const { ttl = formats[0]!.format.defaults?.ttl ?? 10 } = options
  if (!Number.isInteger(ttl) || ttl < 2 || ttl > 86_400) {
    throw invalidOption('ttl', 'a whole number of seconds from 2 to 86400', ttl)
  }
  const { hosts, secure } = resolveHosts(options, env)
  return {
    hosts,
    secure,
    auth: resolveAuth(options.auth, env),
    tls: secure ? resolveTls(options.tls, env) : {},
    namespace,
    ttl,
    formats,
    requestTimeout: milliseconds('requestTimeout', requestTimeout, 1),
    logger: resolveLogger(options.logger),
  }
}

function resolveHosts(
  options: RegistryOptions,
  env: NodeJS.ProcessEnv,
): { hosts: string[]; secure: boolean } {
  const rule = 'one or more etcd client URLs, such as "http://127.0.0.1:2379"'
  const given = options.hosts ?? env.ETCD_ENDPOINTS ?? env.ETCDCTL_ENDPOINTS ?? '127.0.0.1:2379'
  const source = options.hosts !== undefined ? 'hosts' : 'hosts (from ETCD_ENDPOINTS or ETCDCTL_ENDPOINTS)'
  const list = (typeof given === 'string' ? given.split(',') : given) as unknown
  if (!Array.isArray(list) || list.length === 0) throw invalidOption(source, rule, given)
  const scheme = options.tls || env.ETCD_CACERT || env.ETCD_CERT ? 'https' : 'http'
  const urls = list.map((entry: unknown) => {
    if (typeof entry !== 'string') throw invalidOption(source, rule, entry)
    const text = entry.trim()
    const url = /^(?:(https?):\/\/)?(\[[0-9a-fA-F:.]+\]|[^/:@[\]]+)(?::(\d+))?\/?$/.exec(text)
    const host = url?.[2]?.replace(/^\[|\]$/g, '') ?? ''
    const port = Number(url?.[3] ?? 2379)
    if (!url || !isHost(host) || (url[2]!.startsWith('[') && isIP(host) !== 6) || !isPort(port)) {
      throw invalidOption(source, rule, text.replace(/^(\w+:\/\/)?.*@/, '$1***@'))
    }
    return { scheme: url[1] ?? scheme, host: `${url[2]}:${port}` }
  })
  const secure = urls[0]!.scheme === 'https'
  if (urls.some(({ scheme }) => (scheme === 'https') !== secure)) {
    throw invalidOption(source, 'all http:// or all https://', list)
  }
  if (options.tls && !secure) throw invalidOption(source, 'https:// where the option "tls" is given', list)
  return { hosts: [...new Set(urls.map(({ host }) => host))], secure }
}

/** Throws `ERR_INVALID_OPTION` for the first option that breaks its rule. */
export function resolveService(service: ServiceOptions): ResolvedService {
  checkNames('service options', service, SERVICE_OPTIONS)
  const { name, port, host, id, protocol = 'http', endpoints = [] } = service
  validateName(name)
  if (!isPort(port)) throw invalidOption('port', 'a whole number from 1 to 65535', port)
  if (host !== undefined && !(typeof host === 'string' && isHost(host) && !isWildcard(host))) {
    throw invalidOption('host', 'an IP address without brackets or a host name that others can reach', host)
  }
  if (id !== undefined && !isId(id)) throw invalidOption('id', ID_RULE, id)
  if (!isProtocol(protocol)) {
    throw invalidOption('protocol', 'a URL scheme such as "http"', protocol)
  }
  if (!Array.isArray(endpoints) || endpoints.length > MOST_ENDPOINTS || !endpoints.every(isFurtherEndpoint)) {
    const rule = `up to ${MOST_ENDPOINTS} URLs such as "grpc://10.0.0.5:9000", or "grpc://:9000" for the same host`
    throw invalidOption('endpoints', rule, endpoints)
  }
  const protocolGiven = service.protocol !== undefined || endpoints.length > 0
  const place = { name, port, host, id, protocol, protocolGiven, endpoints: [...endpoints] }
  return { ...place, ...resolveDetails(service) }
}

function isFurtherEndpoint(endpoint: unknown): boolean {
  if (typeof endpoint !== 'string' || /[/?#]/.test(endpoint.replace('://', ''))) return false
  const parsed = parseEndpoint(endpointAt('localhost', endpoint))
  return parsed !== undefined && !isWildcard(parsed.host)
}

/** The part of a service that `update()` may change. */
export type Details = Pick<ResolvedService, 'version' | 'zone' | 'weight' | 'metadata'>

function resolveDetails(service: Partial<Details>): Details {
  const { version = '', zone = '', weight = 100, metadata = {} } = service
  if (typeof version !== 'string') throw invalidOption('version', 'a string', version)
  if (typeof zone !== 'string') throw invalidOption('zone', 'a string', zone)
  if (!isWeight(weight)) throw invalidOption('weight', 'a whole number from 0 to 1000', weight)
  if (typeof metadata !== 'object' || metadata === null || Array.isArray(metadata)) {
    throw invalidOption('metadata', 'an object of strings', metadata)
  }
  for (const [key, value] of Object.entries(metadata)) {
    if (typeof value !== 'string') throw invalidOption(`metadata.${key}`, 'a string', value)
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
  if (typeof patch !== 'object' || patch === null) throw invalidOption('patch', 'an object', patch)
  const details = { ...before }
  for (const [option, value] of Object.entries(patch)) {
    if (!Object.hasOwn(before, option)) {
      throw invalidOption(
        option,
        `one of ${Object.keys(before).join(', ')} in an update; the rest is fixed`,
        value,
      )
    }
    if (value !== undefined) Object.assign(details, { [option]: value })
  }
  return resolveDetails(details)
}

/** Throws `ERR_INVALID_OPTION`. */
export function validateName(name: unknown): asserts name is string {
  if (!isName(name)) {
    throw invalidOption('name', '1 to 253 of [A-Za-z0-9._-], the first a letter or a digit', name)
  }
}
