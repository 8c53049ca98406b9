import { type ErrorCode, EtcdRegisterError } from '../errors.ts'

const TLS =
  /certificate|self.signed|unable to (verify|get)|altnames?|\bssl|\btls|EPROTO|wrong version number/i

/** By etcd's own words first: its gRPC codes say less, and differ between versions. */
const BY_TEXT: readonly (readonly [RegExp, ErrorCode])[] = [
  [/requested lease not found/, 'ERR_ETCD_LEASE_NOT_FOUND'],
  [/required revision has been compacted/, 'ERR_ETCD_COMPACTED'],
  [/required revision is a future revision/, 'ERR_ETCD_FUTURE_REVISION'],
  [
    /invalid user ID or password|invalid auth token|user name is empty|authentication is not enabled/,
    'ERR_ETCD_AUTH',
  ],
  [/permission denied/, 'ERR_ETCD_PERMISSION'],
  [/database space exceeded/, 'ERR_ETCD_NO_SPACE'],
  [/request is too large|message larger than max/, 'ERR_ETCD_REQUEST'],
  // So it looks, too, where a proxy has nobody behind it.
  [/before secure TLS connection was established/, 'ERR_ETCD_UNAVAILABLE'],
]

/** What mends a secure connection; `undefined` stands for all else. */
const TLS_ADVICE: readonly (readonly [RegExp | undefined, string])[] = [
  [
    /altname/i,
    'Its certificate is for other hosts: name one of them in "hosts", or give etcd a certificate for this one.',
  ],
  [
    /\balert\b/,
    'It takes no client without a certificate that it trusts: check tls.cert and tls.key (ETCD_CERT, ETCD_KEY).',
  ],
  [/expired|not yet valid/, 'Renew the certificate of etcd, if the clock of this machine is right.'],
  [
    /self.signed|unable to (?:verify|get)/,
    'Give the authority that signed the certificate of etcd as tls.ca (ETCD_CACERT).',
  ],
  [
    undefined,
    'Check https:// in "hosts", and tls.ca, tls.cert and tls.key (ETCD_CACERT, ETCD_CERT, ETCD_KEY).',
  ],
]

/** By gRPC status: https://grpc.io/docs/guides/status-codes/ */
const BY_STATUS: Readonly<Record<number, ErrorCode>> = {
  3: 'ERR_ETCD_REQUEST',
  4: 'ERR_ETCD_TIMEOUT',
  5: 'ERR_ETCD_REQUEST',
  6: 'ERR_ETCD_REQUEST',
  7: 'ERR_ETCD_PERMISSION',
  9: 'ERR_ETCD_REQUEST',
  11: 'ERR_ETCD_REQUEST',
  12: 'ERR_ETCD_REQUEST',
  16: 'ERR_ETCD_AUTH',
}

export interface ErrorContext {
  /** What was tried, such as `a read`. */
  what: string
  /** Where, such as `127.0.0.1:2379`. */
  where: string
  username: string | undefined
  /** What was to be read or written. */
  keys?: readonly string[]
}

/** What gRPC, the client library or etcd said, as one of ours; ours pass through. */
export function etcdError(cause: unknown, context: ErrorContext): EtcdRegisterError {
  if (cause instanceof EtcdRegisterError) return cause
  const text = cause instanceof Error ? cause.message : String(cause)
  const status = Number(/^(?:\w+: )?(\d+) [A-Z_]+:/.exec(text)?.[1] ?? 14)
  const code = codeOf(text, status)
  const detail = detailOf(text)
  return new EtcdRegisterError(
    code,
    `${explain(code, context)} (${detail})${advice(code, context, detail)}`,
    { cause },
  )
}

/** Without what gRPC, Node, OpenSSL and etcd put around it. */
function detailOf(text: string): string {
  return text
    .replace(/^(?:\w+: )?\d+ [A-Z_]+: /, '')
    .replace(/^etcdserver: /, '')
    .replace(/^No connection established\. Last error: (.*?)\.? Resolution note: .*$/s, '$1')
    .replace(/\s*\(\d{4}-\d\d-\d\dT[^)]*\)$/, '')
    .replace(/^Error(?: \[\w+\])?: /, '')
    .replace(/^(?:.* )?\w+:error:\w+:[^:]*:\w*:([^:]+):.*$/s, '$1')
    .replace(/[\s:]+$/, '')
}

function codeOf(text: string, status: number): ErrorCode {
  const named = BY_TEXT.find(([pattern]) => pattern.test(text))
  if (named !== undefined) return named[1]
  if (status === 2 && text.includes('etcdserver:')) return 'ERR_ETCD_REQUEST'
  return BY_STATUS[status] ?? (TLS.test(text) ? 'ERR_ETCD_TLS' : 'ERR_ETCD_UNAVAILABLE')
}

function explain(code: ErrorCode, { what, where }: ErrorContext): string {
  switch (code) {
    case 'ERR_ETCD_UNAVAILABLE':
      return `etcd at ${where} cannot be reached for ${what}`
    case 'ERR_ETCD_TIMEOUT':
      return `etcd at ${where} did not answer ${what} in time`
    case 'ERR_ETCD_TLS':
      return `No secure connection to etcd at ${where}`
    case 'ERR_ETCD_AUTH':
      return `etcd at ${where} does not accept the credentials`
    default:
      return `etcd at ${where} refused ${what}`
  }
}

function advice(code: ErrorCode, { what, username, keys = [] }: ErrorContext, detail: string): string {
  const who = username === undefined ? 'no user' : `user "${username}"`
  const needed = what === 'a read' || what === 'a watch' ? 'read' : 'readwrite'
  switch (code) {
    case 'ERR_ETCD_UNAVAILABLE':
      if (/^Failed to connect|before secure TLS|ECONNRESET/.test(detail)) {
        return '. It ends connections at once: is it etcd, and does "hosts" say https:// where etcd speaks TLS, and only there?'
      }
      return '. Is it running there, and is the address in "hosts" or ETCD_ENDPOINTS right?'
    case 'ERR_ETCD_TLS':
      return `. ${TLS_ADVICE.find(([pattern]) => pattern?.test(detail) ?? true)![1]}`
    case 'ERR_ETCD_AUTH':
      if (detail.includes('not enabled'))
        return `. It has no authentication; leave out "auth" (ETCD_USERNAME, ETCDCTL_USER).`
      return `. It was given ${who}; check auth.username and auth.password (ETCD_USERNAME, ETCD_PASSWORD, or ETCDCTL_USER).`
    case 'ERR_ETCD_PERMISSION':
      return `. It was asked by ${who}, who needs a role with ${needed} permission ${shown(keys)}.`
    case 'ERR_ETCD_NO_SPACE':
      return '. Compact and defragment it, then disarm the alarm: etcdctl alarm disarm.'
    default:
      return '.'
  }
}

/** Where a read of everything begins. */
const FIRST_KEY = '\0'

/** Keys in an error; more than these say no more. */
const MOST_KEYS = 9

function shown(keys: readonly string[]): string {
  if (keys.length === 0) return 'on the prefix of the namespace'
  const names = keys.slice(0, MOST_KEYS).map(key => (key === FIRST_KEY ? 'all keys' : JSON.stringify(key)))
  return `for ${names.join(', ')}${keys.length > MOST_KEYS ? ' and others' : ''}; grant it on their prefixes`
}
