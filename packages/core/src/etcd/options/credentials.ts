import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { invalidOption, kindOf } from '../support/errors.ts'
import { isHost } from '../support/host.ts'
import { checkNames } from '../support/option-names.ts'

/** A user of etcd. */
export interface Credentials {
  username: string
  password: string
}

/** Each of the three is PEM text, or the path of a file, which is read again for each new connection. */
export interface TlsOptions {
  /** The authorities to trust, default the system's. */
  ca?: string | Buffer | undefined
  /** The certificate of this client, and its key: both or neither. */
  cert?: string | Buffer | undefined
  key?: string | Buffer | undefined
  /** The name that the certificate of etcd has to have, and that is sent as SNI. Default: the one in `hosts`, with `srv+https://` its domain. */
  serverName?: string | undefined
}

/** The password is not enumerable, which keeps it out of `util.inspect` and `JSON.stringify`; so are the parts of `Tls`. */
export interface Auth {
  username: string
  password: string
}

/** PEM, as gRPC takes it. */
export interface TlsParts {
  ca?: Buffer
  cert?: Buffer
  key?: Buffer
}

export interface Tls extends TlsParts {
  serverName?: string
  sources?: TlsSources
}

/** What an option or a variable holds: PEM text, or the path of a file. */
interface TlsSource {
  given: string | Buffer
  /** Such as `tls.ca (from ETCD_CACERT)`. */
  option: string
}

type TlsSources = Partial<Record<keyof TlsParts, TlsSource>>

/** The credentials, or the function that is asked for them. */
export type AuthSource = Auth | (() => unknown)

/** The option `auth`. */
export type AuthOption = Credentials | (() => Promise<Credentials>) | undefined

/** Throws `ERR_INVALID_OPTION`. */
export function resolveAuth(auth: AuthOption, env: NodeJS.ProcessEnv): AuthSource | undefined {
  if (typeof auth === 'function') return auth
  if (auth !== undefined) return credentialsFrom(auth)
  if (env.ETCD_USERNAME !== undefined) return hidden(env.ETCD_USERNAME, env.ETCD_PASSWORD ?? '')
  const { ETCDCTL_USER: user, ETCDCTL_PASSWORD: password } = env
  if (user === undefined) return undefined
  if (password !== undefined) return hidden(user, password)
  const colon = user.indexOf(':')
  if (colon < 1) {
    const rule = '"name:password", or a name and ETCDCTL_PASSWORD the password'
    throw invalidOption('auth (from ETCDCTL_USER)', rule, 'a value without a name and a colon')
  }
  return hidden(user.slice(0, colon), user.slice(colon + 1))
}

/** What the option or its function gives. Throws `ERR_INVALID_OPTION`. */
export function credentialsFrom(given: unknown): Auth {
  if (typeof given !== 'object' || given === null) {
    throw invalidOption(
      'auth',
      'an object { username, password }, or a function that gives one',
      kindOf(given),
    )
  }
  const { username, password } = given as Partial<Auth>
  if (typeof username !== 'string' || username === '') {
    throw invalidOption(
      'auth.username',
      'a string that is not empty',
      username === '' ? '' : kindOf(username),
    )
  }
  if (typeof password !== 'string') throw invalidOption('auth.password', 'a string', kindOf(password))
  return hidden(username, password)
}

function hidden(username: string, password: string): Auth {
  return Object.defineProperty({ username, password }, 'password', { enumerable: false })
}

/** Throws `ERR_INVALID_OPTION`, also where a key is not that of its certificate. */
export function resolveTls(tls: TlsOptions | undefined, env: NodeJS.ProcessEnv): Tls {
  if (tls != null && (typeof tls !== 'object' || Array.isArray(tls) || Buffer.isBuffer(tls))) {
    const rule = 'an object with ca, cert, key and serverName, each of them optional'
    throw invalidOption('tls', rule, kindOf(tls))
  }
  if (tls != null) checkNames('options of tls', tls, [...TLS_PARTS, 'serverName'])
  const { serverName } = tls ?? {}
  if (serverName !== undefined && !(typeof serverName === 'string' && isHost(serverName))) {
    throw invalidOption('tls.serverName', 'a host name or an IP address without brackets', serverName)
  }
  const sources: TlsSources = {}
  for (const part of TLS_PARTS) {
    const given = tls?.[part]
    if (given !== undefined) {
      sources[part] = { given, option: `tls.${part}` }
      continue
    }
    const suffix = part === 'ca' ? 'CACERT' : part.toUpperCase()
    const variable = [`ETCD_${suffix}`, `ETCDCTL_${suffix}`].find(name => env[name] !== undefined)
    if (variable === undefined) continue
    sources[part] = { given: env[variable]!, option: `tls.${part} (from ${variable})` }
  }
  const resolved: Tls = serverName === undefined ? {} : { serverName }
  for (const [name, value] of Object.entries({ ...readTls(sources), sources })) {
    Object.defineProperty(resolved, name, { value })
  }
  return resolved
}

const TLS_PARTS = ['ca', 'cert', 'key'] as const

/** Reads what the sources hold now. Throws `ERR_INVALID_OPTION` as `resolveTls` does. */
export function readTls(sources: TlsSources): TlsParts {
  const ca = sources.ca && readPem(sources.ca, 'a certificate', pem => new X509Certificate(pem))
  const cert = sources.cert && readPem(sources.cert, 'a certificate', pem => new X509Certificate(pem))
  const key = sources.key && readPem(sources.key, 'a private key', createPrivateKey)
  if ((cert === undefined) !== (key === undefined)) {
    const [missing, other] = cert === undefined ? ['cert', sources.key] : ['key', sources.cert]
    throw invalidOption(`tls.${missing}`, `given together with ${other!.option}`, undefined)
  }
  if (key && !cert!.parsed.checkPrivateKey(key.parsed)) {
    const rule = `the key of the certificate in ${sources.cert!.option}`
    throw invalidOption(sources.key!.option, rule, 'the key of another one')
  }
  return { ...(ca && { ca: ca.pem }), ...(cert && { cert: cert.pem }), ...(key && { key: key.pem }) }
}

/** The paths among the sources. */
export function pathsOf(sources: TlsSources): string[] {
  return Object.values(sources)
    .filter(({ given }) => !isPem(given))
    .map(({ given }) => String(given))
}

function isPem(source: string | Buffer): boolean {
  return source.includes('-----BEGIN')
}

/** Looks like a path, and so unlike a key without its header, which no message may show. */
const PATH = /^(?=.{1,255}$)(?:(?:[~.]{0,2}\/|[A-Za-z]:[\\/]).*|.*\.(?:pem|key|crt|cer|cert))$/

function readPem<T>(
  { given, option }: TlsSource,
  content: string,
  parse: (pem: Buffer) => T,
): { pem: Buffer; parsed: T } {
  const rule = `PEM text of ${content}, or the path of a readable PEM file with one`
  if (typeof given !== 'string' && !Buffer.isBuffer(given)) throw invalidOption(option, rule, kindOf(given))
  const isText = isPem(given)
  if (!isText && Buffer.isBuffer(given)) throw invalidOption(option, rule, 'a Buffer without "-----BEGIN"')
  const isPath = !isText && PATH.test(String(given))
  const shown = isText ? 'PEM text that is damaged' : isPath ? given : 'neither of them'
  try {
    const pem = isText ? Buffer.from(given) : readFileSync(given)
    if (!pem.includes('-----BEGIN')) throw new Error('no "-----BEGIN" in it')
    return { pem, parsed: parse(pem) }
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException
    const unread = isPath && (code === 'EACCES' || code === 'ERR_ACCESS_DENIED')
    const asked = unread ? `${rule}, and this one could not be read: ${code}` : rule
    // What reading says of a path repeats it.
    throw invalidOption(option, asked, shown, isText || isPath ? cause : undefined)
  }
}

/** The common name (CN) of the subject of a certificate: etcd takes it for the user. */
export function commonNameOf(certificate: Buffer | undefined): string | undefined {
  return certificate && /^CN=(.*)$/m.exec(new X509Certificate(certificate).subject)?.[1]
}
