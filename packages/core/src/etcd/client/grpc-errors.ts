import { type ErrorCode, EtcdRegisterError } from '../support/errors.ts'
import { quoted, shown } from '../support/text.ts'
import { SILENT } from './connecting.ts'

/** Of a text from outside, only so much is looked at. */
const MOST_TEXT = 1000

/** An answer of something that is not etcd, in gRPC's words. */
const FOREIGN = /Received HTTP status code (.+)/s

/** Under NODE_TLS_REJECT_UNAUTHORIZED=0 Node has codes in the place of words, such as SELF_SIGNED_CERT_IN_CHAIN. */
const TLS =
  /certificate|CERT_|_CERT\b|self.signed|unable.to.(verify|get)|altnames?|\bssl|\btls|EPROTO|wrong version number/i

/** By etcd's own words first: its gRPC codes say less, and differ between versions. */
const BY_TEXT: readonly (readonly [RegExp, ErrorCode])[] = [
  [/invalid answer: |message parsing error|No message received/, 'ERR_ETCD_ANSWER'],
  [FOREIGN, 'ERR_ETCD_UNAVAILABLE'],
  [/corrupt cluster/, 'ERR_ETCD_CORRUPT'],
  [/requested lease not found/, 'ERR_ETCD_LEASE_NOT_FOUND'],
  [/required revision has been compacted/, 'ERR_ETCD_COMPACTED'],
  [/required revision is a future revision/, 'ERR_ETCD_FUTURE_REVISION'],
  [
    /invalid user ID or password|invalid auth token|user name is empty|authentication is not enabled/,
    'ERR_ETCD_AUTH',
  ],
  [/permission denied/, 'ERR_ETCD_PERMISSION'],
  [/database space exceeded/, 'ERR_ETCD_NO_SPACE'],
  [/request is too large|message larger than max|too many events in one message/, 'ERR_ETCD_REQUEST'],
  // So it looks, too, where a proxy has nobody behind it.
  [/before secure TLS connection was established/, 'ERR_ETCD_UNAVAILABLE'],
]

/** What mends a secure connection; `undefined` stands for all else. */
const TLS_ADVICE: readonly (readonly [RegExp | undefined, string])[] = [
  [
    /altname/i,
    'Its certificate is for other hosts: name one of them in "hosts" or as tls.serverName, or give etcd a certificate for this one.',
  ],
  [
    /unrecognized name/,
    'It has no certificate for this name: set tls.serverName to a name that it routes by.',
  ],
  [/no application protocol/, 'It speaks TLS, but no HTTP/2: a balancer there has to offer h2 by ALPN.'],
  [/alert protocol version/, 'It takes other versions of TLS only.'],
  [
    /alert (?:\w+ )?certificate|alert unknown ca|alert access denied/,
    'It takes no client without a certificate that it trusts: check tls.cert and tls.key (ETCD_CERT, ETCD_KEY).',
  ],
  [/expired|not.yet.valid/i, 'Renew the certificate of etcd, if the clock of this machine is right.'],
  [
    /self.signed|unable.to.(?:verify|get)|untrusted/i,
    'Its certificate is not trusted: give the authority that signed it as tls.ca (ETCD_CACERT).',
  ],
  [
    undefined,
    'Check https:// in "hosts", and tls.ca, tls.cert and tls.key (ETCD_CACERT, ETCD_CERT, ETCD_KEY).',
  ],
]

/** Variables that turn the check of certificates off elsewhere, and the values that do. */
const UNCHECKED: readonly (readonly [variable: string, RegExp])[] = [
  ['NODE_TLS_REJECT_UNAUTHORIZED', /^0$/],
  ['ETCDCTL_INSECURE_SKIP_TLS_VERIFY', /^(?:1|t|true)$/i],
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
  /** Of the credentials. */
  username: string | undefined
  /** The credentials come from the function `auth`. */
  asked?: boolean
  /** The common name in the client certificate: etcd takes it for the user where there are no credentials. */
  commonName?: string | undefined
  /** What a server was sent, and may send back. */
  secrets?: readonly string[]
  /** What was to be read or written. */
  keys?: readonly string[]
}

/** What gRPC, the client library or etcd said, as one of ours; ours pass through. */
export function etcdError(cause: unknown, context: ErrorContext): EtcdRegisterError {
  if (cause instanceof EtcdRegisterError) return cause
  const text = withoutSecrets(textOf(cause), context.secrets).slice(0, MOST_TEXT)
  const status = Number(/^(?:\w+: )?(\d+) [A-Z_]+:/.exec(text)?.[1] ?? 14)
  const code = codeOf(text, status)
  const detail = detailOf(text)
  const foreign = FOREIGN.exec(detail)?.[1]
  const message =
    foreign === undefined
      ? `${explain(code, context)} (${shown(detail)})${advice(code, context, detail)}`
      : `Not etcd but a proxy or balancer in front of it at ${context.where} answered ${context.what}, with HTTP status ${shown(foreign)}. Check that it lets gRPC (HTTP/2) through and that there is an etcd behind it.`
  return new EtcdRegisterError(code, message, { cause: safeCause(cause, text) })
}

/** A logger shows the cause too, with all that gRPC attached to it. */
function safeCause(cause: unknown, text: string): unknown {
  if (!(cause instanceof Error)) return typeof cause === 'string' ? shown(text) : cause
  const safe = cause.message === text && shown(text) === text && !('metadata' in cause)
  return safe ? cause : new Error(shown(text))
}

function withoutSecrets(text: string, secrets: readonly string[] = []): string {
  // One can be a part of another.
  const longestFirst = [...secrets].sort((one, other) => other.length - one.length)
  return longestFirst.reduce((masked, secret) => masked.replaceAll(secret, '***'), text)
}

const MOST_ERRORS = 10

/** What there is to read in a cause, which can be anything that was thrown; empty if nothing. */
function textOf(cause: unknown): string {
  if (cause === null || cause === undefined) return ''
  if (typeof cause !== 'object') return String(cause)
  const { message, errors, cause: inner, code } = cause as Record<string, unknown>
  if (typeof message === 'string' && message.trim() !== '') return message
  if (Array.isArray(errors) && errors.length > 0)
    return errors.slice(0, MOST_ERRORS).map(textOf).filter(Boolean).join('; ')
  if (inner !== undefined) return textOf(inner)
  return typeof code === 'string' ? code : ''
}

/** Without what gRPC, Node, OpenSSL and etcd put around it. */
function detailOf(text: string): string {
  const detail = text
    .replace(/^(?:\w+: )?\d+ [A-Z_]+: /, '')
    .replace(/^etcdserver: /, '')
    .replace(/^No connection established\. Last error: (.*?)\.? Resolution note: .*$/s, '$1')
    .replace(/(?<!\s)\s*\(\d{4}-\d\d-\d\dT[^()]*\)$/, '')
    .replace(/^(?:Response message parsing error: )?invalid answer: /, '')
    .replace(/^Deadline exceeded after ([\d.]+s),.*$/s, 'no answer in $1')
    .replace(/^Error(?: \[\w+\])?: /, '')
    .replace(' - Local (undefined:undefined)', '')
    .replace(/^(?:.* )?\w+:error:\w+:[^:]*:\w*:([^:]+):.*$/s, '$1')
    .replace(/(?<![\s:])[\s:]+$/, '')
  return /^(?:null|undefined)?$/.test(detail) ? 'the connection ended, without a reason' : detail
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
    case 'ERR_ETCD_ANSWER':
      return `etcd at ${where} sent an invalid answer to ${what}`
    default:
      return `etcd at ${where} refused ${what}`
  }
}

function advice(code: ErrorCode, context: ErrorContext, detail: string): string {
  const { what, keys = [] } = context
  const needed = what === 'a read' || what === 'a watch' ? 'read' : 'readwrite'
  switch (code) {
    case 'ERR_ETCD_UNAVAILABLE':
      if (/\bE[MN]FILE\b/.test(detail)) {
        return '. The process has no file descriptor left: raise its limit (ulimit -n).'
      }
      if (detail.includes(SILENT)) {
        return '. Either etcd is frozen, or a proxy or balancer there has no etcd behind it.'
      }
      if (/^Protocol error/.test(detail)) {
        return '. Something there answers, but not in HTTP/2: is it etcd, and does a proxy or balancer in front of it let gRPC through?'
      }
      if (/^Failed to connect|before secure TLS|ECONNRESET/.test(detail)) {
        return '. It ends connections at once: is it etcd, and does "hosts" say https:// where etcd speaks TLS, and only there?'
      }
      return '. Is it running there, and is the address in "hosts" or ETCD_ENDPOINTS right?'
    case 'ERR_ETCD_TIMEOUT':
      return '. Is it frozen or overloaded, or the link slow? Look at its load and disk, or raise requestTimeout.'
    case 'ERR_ETCD_TLS':
      return `. ${tlsAdvice(detail)}`
    case 'ERR_ETCD_AUTH':
      if (context.asked) return `. It was given ${userOf(context)}; check what the function "auth" gives.`
      return `. It was given ${userOf(context)}; check auth.username and auth.password (ETCD_USERNAME, ETCD_PASSWORD, or ETCDCTL_USER).`
    case 'ERR_ETCD_PERMISSION':
      return `. It was asked by ${userOf(context)}, who needs a role with ${needed} permission ${shownKeys(keys)}.`
    case 'ERR_ETCD_CORRUPT':
      return '. Its members hold different data: replace the corrupt member, then disarm the alarm: etcdctl alarm disarm.'
    case 'ERR_ETCD_ANSWER':
      return '. Check that it is an etcd, and replace this member if it is.'
    case 'ERR_ETCD_NO_SPACE':
      return '. Compact and defragment it, then disarm the alarm: etcdctl alarm disarm.'
    default:
      return '.'
  }
}

function tlsAdvice(detail: string): string {
  const advice = TLS_ADVICE.find(([pattern]) => pattern?.test(detail) ?? true)![1]
  const ignored = UNCHECKED.find(([variable, set]) => set.test(process.env[variable] ?? ''))
  return ignored === undefined ? advice : `${advice} ${ignored[0]} has no effect here.`
}

function userOf(context: ErrorContext): string {
  if (context.username !== undefined) return `user ${quoted(context.username)}`
  const { commonName } = context
  return commonName === undefined ? 'no user' : `user ${quoted(commonName)}, the CN of the client certificate`
}

/** Where a read of everything begins. */
const FIRST_KEY = '\0'

/** Keys in an error; more than these say no more. */
const MOST_KEYS = 9

function shownKeys(keys: readonly string[]): string {
  if (keys.length === 0) return 'on the prefix of the namespace'
  const names = keys.slice(0, MOST_KEYS).map(key => (key === FIRST_KEY ? 'all keys' : quoted(key)))
  return `for ${names.join(', ')}${keys.length > MOST_KEYS ? ' and others' : ''}; grant it on their prefixes`
}
