import { type Auth, type AuthSource, credentialsFrom } from '../options/credentials.ts'
import { type Clock, sleep } from '../support/clock.ts'
import { EtcdRegisterError, kindOf } from '../support/errors.ts'
import type { Logger } from '../support/logger.ts'

/** What a request carries. `value: undefined`: no credentials are configured, or etcd asks for none. */
export interface Token {
  readonly value: string | undefined
}

/** What etcd answers to a token that expired, or that it gave before users, roles or its authentication changed. */
const REFUSED = /invalid auth token|revision of auth store is old|user name is empty/
const OLD_REVISION = /revision of auth store is old/
const NOT_ENABLED = /authentication is not enabled/

/** `header.payload.signature`; a simple token of etcd has one dot. */
const JWT = /^[^.]+\.[^.]+\.[^.]+$/

/** How often one request is tried where users and roles change all the time, and where etcd takes none of its own tokens. */
const MOST_OUTDATED = 10
const MOST_INVALID = 3

/** Secrets that are looked for in what a server says. */
const MOST_SENT = 16

/** The longest delay before a token is replaced, in ms. */
const LONGEST_DELAY = 3000

/**
 * Where etcd has more authentications to do than it can in time, those that it did in vain must not be asked for again at
 * once: the delay before the next one, and the time that it may take, grow up to these, in ms.
 */
const LONGEST_BACKOFF = 8000
const LONGEST_TIMEOUT = 12_000
const TIMED_OUT = /DEADLINE_EXCEEDED/

export interface TokenDeps {
  auth: AuthSource | undefined
  clock: Clock
  logger: Logger
  /** Milliseconds that the function `auth` may take, and an authentication at first. */
  timeout: number
  /** Number of members: each is asked once before a delay. */
  members(): number
  /** Where etcd is, for messages. */
  where(): string
  /** Milliseconds that the lease still has; infinite where there is none to lose. */
  leaseRest(): number
  /** Asks etcd for a token. */
  authenticate(auth: Auth, timeout: number): Promise<string>
  closed: AbortSignal
}

/** The token of a registry, for all its requests and streams. There is one authentication at a time. */
export class TokenSource {
  readonly #deps: TokenDeps
  #token: Token | undefined
  #authenticating: Promise<Token> | undefined
  #username: string | undefined
  /** Passwords and tokens that went to etcd, the last ones: requests with an older one can still be under way. */
  readonly #sent: string[] = []
  /** Whether a token that was in use is replaced. */
  #replaces = false
  /** Authentications in a row that took too long. */
  #timeouts = 0
  #open = false

  constructor(deps: TokenDeps) {
    this.#deps = deps
    if (typeof deps.auth === 'object') this.#username = deps.auth.username
    if (deps.auth === undefined) this.#token = { value: undefined }
  }

  /** Of the last authentication. */
  get username(): string | undefined {
    return this.#username
  }

  /** What a server was sent, and may send back in an error. */
  get secrets(): readonly string[] {
    return this.#sent
  }

  /** Whether requests may need a token at all. */
  get used(): boolean {
    return this.#deps.auth !== undefined
  }

  /** Rejects with the answer of etcd, or with `ERR_CREDENTIALS` if the function `auth` gives nothing of use. */
  get(): Promise<Token> {
    if (this.#token !== undefined) return Promise.resolve(this.#token)
    this.#authenticating ??= this.#authenticate().finally(() => {
      this.#authenticating = undefined
    })
    return this.#authenticating
  }

  /**
   * To be called with each error of a request or stream: says whether the same request may succeed with `get()` anew.
   * `times`: how often this request was refused its token, with this one.
   */
  refused(token: Token, cause: unknown, times = 1): boolean {
    const text = cause instanceof Error ? cause.message : String(cause)
    if (!REFUSED.test(text)) return false
    const outdated = OLD_REVISION.test(text)
    const again = times < (outdated ? MOST_OUTDATED : MOST_INVALID)
    // A simple token is good for every revision: users or roles changed between etcd's check and the write.
    if (outdated && !JWT.test(token.value ?? '')) return again
    if (this.#deps.auth === undefined) return false
    if (this.#token === token) {
      this.#token = undefined
      this.#replaces = true
    }
    return again
  }

  async #authenticate(): Promise<Token> {
    const { auth, clock, closed, timeout, members } = this.#deps
    const rounds = Math.floor(this.#timeouts / Math.max(1, members()))
    const longest = this.#longestDelay(rounds)
    if (longest > 0) await sleep(clock, clock.random() * longest, closed)
    const credentials = typeof auth === 'function' ? await this.#ask(auth) : auth!
    this.#username = credentials.username
    this.#send(credentials.password)
    const value = await this.#request(credentials, Math.min(LONGEST_TIMEOUT, timeout * 2 ** rounds))
    if (value !== undefined) this.#send(value)
    this.#noteOpen(value === undefined)
    this.#replaces = false
    this.#token = { value }
    return this.#token
  }

  #send(secret: string): void {
    if (secret === '' || this.#sent.includes(secret)) return
    this.#sent.push(secret)
    if (this.#sent.length > MOST_SENT) this.#sent.shift()
  }

  /** `undefined`: etcd has no authentication. */
  async #request(credentials: Auth, timeout: number): Promise<string | undefined> {
    try {
      const value = await this.#deps.authenticate(credentials, timeout)
      this.#timeouts = 0
      return value
    } catch (error) {
      const { message } = error as Error
      this.#timeouts = TIMED_OUT.test(message) ? this.#timeouts + 1 : 0
      if (NOT_ENABLED.test(message)) return undefined
      throw error
    }
  }

  /** A change of users voids the tokens of a whole fleet at once, and each authentication takes etcd 10 to 100 ms. */
  #longestDelay(rounds: number): number {
    if (rounds > 0) return Math.min(LONGEST_BACKOFF, this.#deps.timeout * 2 ** rounds)
    return this.#replaces ? Math.min(LONGEST_DELAY, this.#deps.leaseRest() / 2) : 0
  }

  #noteOpen(open: boolean): void {
    if (open === this.#open) return
    this.#open = open
    const { logger } = this.#deps
    const where = this.#deps.where()
    logger.info(
      { where },
      open
        ? `etcd at ${where} has no authentication: requests go without the credentials in "auth"`
        : `etcd at ${where} has authentication now: requests go with a token`,
    )
  }

  /** Bounded: it is the application's code. */
  async #ask(auth: () => unknown): Promise<Auth> {
    const { clock, timeout, closed } = this.#deps
    let stop = () => {}
    const late = new Promise<never>((_, reject) => {
      const fail = (text: string) => () => reject(new OwnReason(text))
      const stopTimer = clock.after(timeout, fail(`it did not resolve within ${timeout} ms`))
      const ended = fail('the registry is closed')
      closed.addEventListener('abort', ended)
      stop = () => {
        stopTimer()
        closed.removeEventListener('abort', ended)
      }
    })
    try {
      const given = await Promise.race([Promise.resolve().then(auth), late])
      return credentialsFrom(given)
    } catch (error) {
      throw new EtcdRegisterError(
        'ERR_CREDENTIALS',
        `No credentials for etcd at ${this.#deps.where()}: the function "auth" failed (${reasonOf(error)}).`,
      )
    } finally {
      stop()
    }
  }
}

/** Why we gave up, in contrast to what the function threw. */
class OwnReason extends Error {}

/** Without the words of what the function threw: they can hold the password. */
function reasonOf(error: unknown): string {
  if (error instanceof OwnReason || error instanceof EtcdRegisterError)
    return error.message.replace(/\.$/, '')
  if (!(error instanceof Error)) return `it threw ${kindOf(error)}`
  const { code } = error as { code?: unknown }
  const known =
    typeof code === 'string' && /^[A-Z][A-Z0-9_]{1,40}$/.test(code) ? ` with the code ${code}` : ''
  return `it threw ${error.constructor.name}${known}; its message is not shown, since it can hold the credentials`
}
