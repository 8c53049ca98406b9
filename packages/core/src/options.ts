import { readFileSync } from 'node:fs'
import { isIP } from 'node:net'
import { isHost } from './address.ts'
import { invalidOption } from './errors.ts'
import { type InstanceFormat, resolveFormats } from './formats/index.ts'
import { isName, isPort, isProtocol, isWeight } from './instance.ts'
import type { Logger, RegistryOptions, ServiceOptions } from './types.ts'

/** Everything decided; no part of the code below the edge knows a default. */
export interface ResolvedOptions {
  /** `host:port`, without the scheme. */
  hosts: readonly string[]
  secure: boolean
  auth: { username: string; password: string } | undefined
  tls: { ca?: Buffer; cert?: Buffer; key?: Buffer }
  /** Without the slash at the end; `''` for none. */
  namespace: string
  ttl: number
  formats: readonly InstanceFormat[]
  requestTimeout: number
  logger: Logger
}

export interface ResolvedService extends Required<Omit<ServiceOptions, 'host' | 'id'>> {
  host: string | undefined
  id: string | undefined
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it refuses
const ID = /^[^/\u0000-\u001f\u007f\ufffd]{1,253}$/

/** Throws `ERR_INVALID_OPTION` for the first option that breaks its rule. */
export function resolveOptions(
  options: RegistryOptions = {},
  env: NodeJS.ProcessEnv = process.env,
): ResolvedOptions {
  if (typeof options !== 'object' || options === null) throw invalidOption('options', 'an object', options)
  const { ttl = 10, requestTimeout = 3000, namespace = '/services' } = options
  if (!Number.isInteger(ttl) || ttl < 2 || ttl > 86_400) {
    throw invalidOption('ttl', 'a whole number of seconds from 2 to 86400', ttl)
  }
  if (!Number.isInteger(requestTimeout) || requestTimeout < 1 || requestTimeout > 600_000) {
    throw invalidOption('requestTimeout', 'a whole number of milliseconds from 1 to 600000', requestTimeout)
  }
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what it refuses
  if (typeof namespace !== 'string' || /[\u0000-\u001f\u007f]|\/\//.test(namespace)) {
    throw invalidOption(
      'namespace',
      'a string without control characters and empty parts, such as "/services"',
      namespace,
    )
  }
  const { hosts, secure } = resolveHosts(options, env)
  return {
    hosts,
    secure,
    auth: hidden(resolveAuth(options.auth, env)),
    tls: secure ? resolveTls(options.tls, env) : {},
    namespace: namespace.replace(/\/$/, ''),
    ttl,
    formats: resolveFormats(options.format ?? 'json'),
    requestTimeout,
    logger: resolveLogger(options.logger),
  }
}

function resolveHosts(
  options: RegistryOptions,
  env: NodeJS.ProcessEnv,
): { hosts: string[]; secure: boolean } {
  const rule = 'one or more etcd client URLs, such as "http://127.0.0.1:2379"'
  const given = options.hosts ?? env.ETCD_ENDPOINTS ?? env.ETCDCTL_ENDPOINTS ?? 'http://127.0.0.1:2379'
  const source = options.hosts !== undefined ? 'hosts' : 'hosts (from ETCD_ENDPOINTS or ETCDCTL_ENDPOINTS)'
  const list = (typeof given === 'string' ? given.split(',') : given) as unknown
  if (!Array.isArray(list) || list.length === 0) throw invalidOption(source, rule, given)
  const urls = list.map((entry: unknown) => {
    if (typeof entry !== 'string') throw invalidOption(source, rule, entry)
    const text = entry.trim()
    const url = /^(?:(https?):\/\/)?(\[[0-9a-fA-F:.]+\]|[^/:@[\]]+)(?::(\d+))?\/?$/.exec(text)
    const host = url?.[2]?.replace(/^\[|\]$/g, '') ?? ''
    const port = Number(url?.[3] ?? 2379)
    if (!url || !isHost(host) || (url[2]!.startsWith('[') && isIP(host) !== 6) || !isPort(port)) {
      throw invalidOption(source, rule, text.replace(/\/\/.*@/, '//***@'))
    }
    return { scheme: url[1] ?? (options.tls ? 'https' : 'http'), host: `${url[2]}:${port}` }
  })
  const secure = urls[0]!.scheme === 'https'
  if (urls.some(({ scheme }) => (scheme === 'https') !== secure)) {
    throw invalidOption(source, 'all http:// or all https://', list)
  }
  if (options.tls && !secure) throw invalidOption(source, 'https:// where the option "tls" is given', list)
  return { hosts: [...new Set(urls.map(({ host }) => host))], secure }
}

function resolveAuth(auth: RegistryOptions['auth'], env: NodeJS.ProcessEnv): ResolvedOptions['auth'] {
  if (auth !== undefined) {
    if (typeof auth?.username !== 'string' || auth.username === '') {
      throw invalidOption('auth.username', 'a string that is not empty', auth?.username)
    }
    if (typeof auth.password !== 'string')
      throw invalidOption('auth.password', 'a string', typeof auth.password)
    return { username: auth.username, password: auth.password }
  }
  if (env.ETCD_USERNAME) return { username: env.ETCD_USERNAME, password: env.ETCD_PASSWORD ?? '' }
  const user = env.ETCDCTL_USER
  if (!user) return undefined
  const colon = user.indexOf(':')
  if (colon < 1) throw invalidOption('auth (from ETCDCTL_USER)', '"name:password"', 'a value without a colon')
  return { username: user.slice(0, colon), password: user.slice(colon + 1) }
}

/** Keeps the password out of `util.inspect` and `JSON.stringify`. */
function hidden(auth: ResolvedOptions['auth']): ResolvedOptions['auth'] {
  if (auth === undefined) return undefined
  return Object.defineProperty({ ...auth }, 'password', { enumerable: false })
}

function resolveTls(tls: RegistryOptions['tls'], env: NodeJS.ProcessEnv): ResolvedOptions['tls'] {
  const given = {
    ca: tls?.ca ?? env.ETCD_CACERT,
    cert: tls?.cert ?? env.ETCD_CERT,
    key: tls?.key ?? env.ETCD_KEY,
  }
  if ((given.cert === undefined) !== (given.key === undefined)) {
    const missing = given.cert === undefined ? 'cert' : 'key'
    throw invalidOption(
      `tls.${missing}`,
      `given together with tls.${missing === 'cert' ? 'key' : 'cert'}`,
      undefined,
    )
  }
  const resolved: ResolvedOptions['tls'] = {}
  for (const part of ['ca', 'cert', 'key'] as const) {
    const value = given[part]
    if (value !== undefined) Object.defineProperty(resolved, part, { value: readPem(`tls.${part}`, value) })
  }
  return resolved
}

function readPem(option: string, value: string | Buffer): Buffer {
  const rule = 'PEM text, or the path of a readable PEM file'
  if (typeof value !== 'string' && !Buffer.isBuffer(value)) throw invalidOption(option, rule, value)
  let pem = Buffer.from(value)
  if (!pem.includes('-----BEGIN')) {
    if (Buffer.isBuffer(value)) throw invalidOption(option, rule, 'a Buffer without "-----BEGIN"')
    try {
      pem = readFileSync(value)
    } catch (cause) {
      throw invalidOption(option, rule, value, cause)
    }
    if (!pem.includes('-----BEGIN')) throw invalidOption(option, rule, value)
  }
  return pem
}

function resolveLogger(logger: RegistryOptions['logger']): Logger {
  if (logger === undefined) return consoleLogger
  if (logger === false) return silentLogger
  for (const level of ['debug', 'info', 'warn', 'error'] as const) {
    if (typeof logger?.[level] !== 'function') {
      throw invalidOption(
        'logger',
        `an object with debug, info, warn and error (such as pino's), or false`,
        logger,
      )
    }
  }
  return logger
}

const nothing = () => {}
const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing }
const line = (fields: object, message: string) => {
  const cause = 'err' in fields && fields.err instanceof Error ? fields.err.message : ''
  return `[etcd-register] ${message.includes(cause) ? message : `${message}: ${cause}`}`
}
const consoleLogger: Logger = {
  debug: nothing,
  info: nothing,
  // biome-ignore lint/suspicious/noConsole: the default logger
  warn: (fields, message) => console.warn(line(fields, message)),
  // biome-ignore lint/suspicious/noConsole: the default logger
  error: (fields, message) => console.error(line(fields, message)),
}

/** Throws `ERR_INVALID_OPTION` for the first option that breaks its rule. */
export function resolveService(service: ServiceOptions): ResolvedService {
  if (typeof service !== 'object' || service === null) throw invalidOption('service', 'an object', service)
  const { name, port, host, id, protocol = 'http' } = service
  validateName(name)
  if (!isPort(port)) throw invalidOption('port', 'a whole number from 1 to 65535', port)
  if (host !== undefined && !(typeof host === 'string' && isHost(host))) {
    throw invalidOption('host', 'an IP address without brackets, or a host name', host)
  }
  if (id !== undefined && !(typeof id === 'string' && ID.test(id))) {
    throw invalidOption('id', '1 to 253 characters without "/" and control characters', id)
  }
  if (!isProtocol(protocol)) {
    throw invalidOption('protocol', 'a URL scheme such as "http"', protocol)
  }
  return { name, port, host, id, protocol, ...resolveDetails(service) }
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

/** Throws `ERR_INVALID_OPTION`; an option that is `undefined` stays as it was. */
export function resolvePatch(before: Details, patch: Partial<Details>): Details {
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
