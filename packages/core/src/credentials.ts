import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { invalidOption } from './errors.ts'
import type { RegistryOptions } from './types.ts'

/** The password is not enumerable, which keeps it out of `util.inspect` and `JSON.stringify`; so are the parts of `Tls`. */
export interface Auth {
  username: string
  password: string
}

export interface Tls {
  ca?: Buffer
  cert?: Buffer
  key?: Buffer
}

/** Throws `ERR_INVALID_OPTION`. */
export function resolveAuth(auth: RegistryOptions['auth'], env: NodeJS.ProcessEnv): Auth | undefined {
  if (auth !== undefined) {
    if (typeof auth?.username !== 'string' || auth.username === '') {
      throw invalidOption('auth.username', 'a string that is not empty', auth?.username)
    }
    if (typeof auth.password !== 'string')
      throw invalidOption('auth.password', 'a string', typeof auth.password)
    return hidden(auth.username, auth.password)
  }
  if (env.ETCD_USERNAME !== undefined) return hidden(env.ETCD_USERNAME, env.ETCD_PASSWORD ?? '')
  const user = env.ETCDCTL_USER
  if (user === undefined) return undefined
  const colon = user.indexOf(':')
  if (colon < 1) throw invalidOption('auth (from ETCDCTL_USER)', '"name:password"', 'a value without a colon')
  return hidden(user.slice(0, colon), user.slice(colon + 1))
}

function hidden(username: string, password: string): Auth {
  return Object.defineProperty({ username, password }, 'password', { enumerable: false })
}

/** Throws `ERR_INVALID_OPTION`, also where a key is not that of its certificate. */
export function resolveTls(tls: RegistryOptions['tls'], env: NodeJS.ProcessEnv): Tls {
  if (tls != null && typeof tls !== 'object') {
    throw invalidOption('tls', 'an object with ca, cert and key, each of them optional', tls)
  }
  const ca = readPem('tls.ca', tls?.ca ?? env.ETCD_CACERT, pem => new X509Certificate(pem))
  const cert = readPem('tls.cert', tls?.cert ?? env.ETCD_CERT, pem => new X509Certificate(pem))
  const key = readPem('tls.key', tls?.key ?? env.ETCD_KEY, createPrivateKey)
  if ((cert === undefined) !== (key === undefined)) {
    const [missing, other] = cert === undefined ? ['cert', 'key'] : ['key', 'cert']
    throw invalidOption(`tls.${missing}`, `given together with tls.${other}`, undefined)
  }
  if (key && !cert!.parsed.checkPrivateKey(key.parsed)) {
    throw invalidOption('tls.key', 'the key of the certificate in tls.cert', 'the key of another one')
  }
  const resolved: Tls = {}
  for (const [part, read] of Object.entries({ ca, cert, key })) {
    if (read !== undefined) Object.defineProperty(resolved, part, { value: read.pem })
  }
  return resolved
}

/** Looks like a path, and so unlike a key, which no message may show. */
const PATH = /^(?:[~.]{0,2}\/|[A-Za-z]:[\\/])|\.(?:pem|key)$/

function readPem<T>(
  option: string,
  value: string | Buffer | undefined,
  parse: (pem: Buffer) => T,
): { pem: Buffer; parsed: T } | undefined {
  if (value === undefined) return undefined
  const rule = 'PEM text, or the path of a readable PEM file'
  if (typeof value !== 'string' && !Buffer.isBuffer(value)) throw invalidOption(option, rule, value)
  const isText = value.includes('-----BEGIN')
  if (!isText && Buffer.isBuffer(value)) throw invalidOption(option, rule, 'a Buffer without "-----BEGIN"')
  const mayShow = option !== 'tls.key' || PATH.test(String(value))
  const shown = isText ? 'PEM text that is damaged' : mayShow ? value : 'neither of them'
  try {
    const pem = isText ? Buffer.from(value) : readFileSync(value)
    if (!pem.includes('-----BEGIN')) throw new Error('no "-----BEGIN" in it')
    return { pem, parsed: parse(pem) }
  } catch (cause) {
    // What reading says of a path repeats it.
    throw invalidOption(option, rule, shown, isText || mayShow ? cause : undefined)
  }
}
