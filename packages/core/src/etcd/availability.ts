import { backoff } from '../backoff.ts'
import { type Clock, sleep } from '../clock.ts'
import type { ErrorCode, EtcdRegisterError } from '../errors.ts'
import type { ErrorStatus, Logger, RegistryStatus } from '../types.ts'

/** With these nobody gets through, and a warning here says so; with any other error etcd has answered. */
export const AWAY: ReadonlySet<ErrorCode> = new Set([
  'ERR_ETCD_UNAVAILABLE',
  'ERR_ETCD_TIMEOUT',
  'ERR_ETCD_TLS',
  'ERR_ETCD_AUTH',
])

/** A condition that comes back within this time is the same one. In ms. */
const FLAPPING = 60_000

export interface AvailabilityDeps {
  clock: Clock
  logger: Logger
  /** A request whose end is told here, like that of any other. */
  probe(): Promise<void>
}

/** What an answer says beside that there is one. */
export interface Answer {
  member: string | undefined
  /** Of the credentials: etcd grants and renews leases without any. */
  trusted: boolean
  /** Of the space: a full etcd reads, but writes nothing. */
  written?: boolean
}

/** Whether etcd answers, by what became of our requests. While it does not, one probe asks for all who wait. */
export class Availability {
  readonly #deps: AvailabilityDeps
  readonly #closing = new AbortController()
  readonly #waiting = new Set<() => void>()
  #state: RegistryStatus['etcd']['connection'] = 'idle'
  #since: Date
  #member: string | undefined
  #lastError: ErrorStatus | undefined
  /** What was warned of last, and when. */
  #told: { code: ErrorCode; at: number } | undefined
  #full = false

  constructor(deps: AvailabilityDeps) {
    this.#deps = deps
    this.#since = deps.clock.date()
  }

  /** Aborts with `close()`. */
  get closed(): AbortSignal {
    return this.#closing.signal
  }

  status(): Omit<RegistryStatus['etcd'], 'hosts'> {
    return {
      member: this.#member,
      connection: this.#state,
      since: this.#since.toISOString(),
      lastError: this.#lastError,
    }
  }

  /** Resolves as soon as etcd is not known to be away, or the signal aborts. */
  whenUp(signal: AbortSignal): Promise<void> {
    if (this.#state !== 'down' || signal.aborted) return Promise.resolve()
    return new Promise(resolve => {
      const done = () => {
        this.#waiting.delete(done)
        signal.removeEventListener('abort', done)
        resolve()
      }
      this.#waiting.add(done)
      signal.addEventListener('abort', done)
    })
  }

  answered({ member, trusted, written = false }: Answer): void {
    this.#member = member
    if (written) this.#full = false
    if (this.#state === 'up' || this.#state === 'closed') return
    if (this.#state === 'down' && this.#lastError?.code === 'ERR_ETCD_AUTH' && !trusted) return
    if (this.#state === 'down') this.#deps.logger.info({ member }, `etcd at ${member} answers again`)
    this.#transit('up')
    this.#release()
  }

  failed(error: EtcdRegisterError): void {
    const { code, message } = error
    this.#lastError = { code, message, at: this.#deps.clock.date().toISOString() }
    if (this.#state === 'closed') return
    if (!AWAY.has(code)) {
      this.answered({ member: this.#member, trusted: true })
      if (code === 'ERR_ETCD_NO_SPACE' && !this.#full) {
        this.#full = true
        this.#warn(error)
      }
      return
    }
    if (!this.#isToldOf(code)) {
      this.#told = { code, at: this.#deps.clock.now() }
      this.#warn(error)
    }
    if (this.#state === 'down') return
    this.#transit('down')
    void this.#probeUntilUp()
  }

  close(): void {
    this.#transit('closed')
    this.#closing.abort()
    this.#release()
  }

  /** Once while it lasts, and no more often than each minute where it comes and goes. */
  #isToldOf(code: ErrorCode): boolean {
    if (this.#told?.code !== code) return false
    return this.#state === 'down' || this.#deps.clock.now() - this.#told.at < FLAPPING
  }

  #warn(error: EtcdRegisterError): void {
    const { code, message } = error
    this.#deps.logger.warn({ err: error, code }, `${message} Trying on.`)
  }

  #release(): void {
    for (const done of this.#waiting) done()
  }

  async #probeUntilUp(): Promise<void> {
    const { clock, probe } = this.#deps
    for (let attempt = 0; this.#state === 'down'; attempt += 1) {
      await sleep(clock, backoff(attempt, clock), this.#closing.signal)
      if (this.#state === 'down') await probe().catch(() => {})
    }
  }

  #transit(state: RegistryStatus['etcd']['connection']): void {
    this.#state = state
    this.#since = this.#deps.clock.date()
  }
}
