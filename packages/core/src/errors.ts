/** Every code, and whether trying again can help without somebody mending something first. */
const RETRYABLE = {
  ERR_INVALID_OPTION: false,
  ERR_CLOSED: false,
  ERR_CONFLICT: false,
  ERR_NO_ADDRESS: false,
  ERR_ETCD_CLIENT: false,
  ERR_ETCD_UNAVAILABLE: true,
  ERR_ETCD_TIMEOUT: true,
  ERR_ETCD_TLS: false,
  ERR_ETCD_AUTH: false,
  ERR_ETCD_PERMISSION: false,
  ERR_ETCD_NO_SPACE: true,
  ERR_ETCD_REQUEST: false,
  ERR_ETCD_COMPACTED: true,
  ERR_ETCD_FUTURE_REVISION: true,
  ERR_ETCD_LEASE_NOT_FOUND: true,
  ERR_ETCD_STREAM: true,
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
    this.name = 'EtcdRegisterError'
    this.code = code
    this.retryable = RETRYABLE[code]
    Object.defineProperty(this, BRAND, { value: true })
  }

  static override [Symbol.hasInstance](value: unknown): boolean {
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
    `Option "${option}" must be ${rule}; got ${show(value)}.`,
    cause === undefined ? undefined : { cause },
  )
}

/** Throws `ERR_INVALID_OPTION` for what is no object, and for a name that is not one of those known. */
export function checkNames(what: string, options: object, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw invalidOption(what, 'an object', options)
  const unknown = Object.keys(options).find(name => !known.includes(name))
  if (unknown !== undefined)
    throw invalidOption(unknown, `left out: the ${what} are ${known.join(', ')}`, options[unknown as never])
}

function show(value: unknown): string {
  if (typeof value === 'string') return JSON.stringify(value.length > 80 ? `${value.slice(0, 77)}...` : value)
  if (value == null || ['number', 'bigint', 'boolean'].includes(typeof value)) return String(value)
  if (Array.isArray(value)) return `[${value.map(show).join(', ')}]`
  return `${typeof value}`
}
