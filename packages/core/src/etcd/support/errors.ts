import { masked, quoted } from './text.ts'

/** The last thing that went wrong, and when. */
export interface ErrorStatus {
  code: ErrorCode
  message: string
  at: string
}

/** Every code, and whether trying again can help without somebody mending something first. */
const RETRYABLE = {
  ERR_INVALID_OPTION: false,
  ERR_CLOSED: false,
  ERR_ABORTED: true,
  ERR_CONFLICT: false,
  ERR_NO_ADDRESS: false,
  ERR_CREDENTIALS: true,
  ERR_ETCD_CLIENT: false,
  ERR_ETCD_UNAVAILABLE: true,
  ERR_ETCD_TIMEOUT: true,
  ERR_ETCD_TLS: false,
  ERR_ETCD_AUTH: false,
  ERR_ETCD_PERMISSION: false,
  ERR_ETCD_NO_SPACE: true,
  ERR_ETCD_CORRUPT: true,
  ERR_ETCD_REQUEST: false,
  ERR_ETCD_COMPACTED: true,
  ERR_ETCD_FUTURE_REVISION: true,
  ERR_ETCD_LEASE_NOT_FOUND: true,
  ERR_ETCD_STREAM: true,
  ERR_ETCD_ANSWER: true,
} as const

/** Stable; documented one by one in docs/errors.md. */
export type ErrorCode = keyof typeof RETRYABLE

export const ERROR_CODES: readonly ErrorCode[] = Object.keys(RETRYABLE) as ErrorCode[]

const BRAND = Symbol.for('etcd-register.error')

/** The one class of all our errors; tell them apart by `code`. `instanceof` holds across two copies of the package. */
export class EtcdRegisterError extends Error {
  readonly code: ErrorCode
  /** True if the same call may succeed later with nothing changed on our side. */
  readonly retryable: boolean

  constructor(code: ErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    // As the errors of Node and of the web that end a wait are named.
    this.name = code === 'ERR_ABORTED' ? 'AbortError' : 'EtcdRegisterError'
    this.code = code
    this.retryable = RETRYABLE[code]
  }

  // Not of each instance: also what is made with its prototype, such as a copy for a logger, is one of ours.
  static {
    Object.defineProperty(EtcdRegisterError.prototype, BRAND, { value: true })
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
    // A class that extends this one has its own instances only.
    // biome-ignore lint/complexity/noThisInStatic: of whichever class it was asked
    if (this !== EtcdRegisterError) return Function.prototype[Symbol.hasInstance].call(this, value)
    return typeof value === 'object' && value !== null && BRAND in value
  }
}

/** Names the option, the rule and the value, in this order. */
export function invalidOption(
  option: string,
  rule: string,
  value: unknown,
  cause?: unknown,
): EtcdRegisterError {
  return new EtcdRegisterError(
    'ERR_INVALID_OPTION',
    `Option ${quoted(option)} must be ${rule}; got ${show(value)}.`,
    cause === undefined ? undefined : { cause },
  )
}

/** The same without the value, for what can be anything, and so a secret under another name. */
export function refusedOption(option: string, rule: string): EtcdRegisterError {
  return new EtcdRegisterError('ERR_INVALID_OPTION', `Option ${quoted(option)} must be ${rule}.`)
}

/** What stands in a message for a value that can be a secret. */
export function kindOf(value: unknown): unknown {
  if (value == null || typeof value === 'boolean') return value
  return Array.isArray(value) ? 'array' : typeof value
}

/** Characters of a text, and of all that a list shows. */
const MOST_OF_TEXT = 80
const MOST_OF_LIST = 1000

function show(value: unknown): string {
  if (typeof value === 'string') {
    const text = masked(value)
    return quoted(text.length > MOST_OF_TEXT ? `${text.slice(0, MOST_OF_TEXT - 3)}...` : text)
  }
  if (value == null || ['number', 'bigint', 'boolean'].includes(typeof value)) return String(value)
  if (Array.isArray(value)) {
    const list = value.map(show).join(', ')
    return `[${list.length > MOST_OF_LIST ? `${list.slice(0, MOST_OF_LIST)}...` : list}]`
  }
  return typeof value
}

/** What to say of a wait that was aborted. */
export function abortedText(what: string, last: EtcdRegisterError | undefined): string {
  const why = last === undefined ? 'etcd has not answered yet.' : `The last error was: ${last.message}`
  return `The signal ended the wait until ${what}. ${why}`
}
