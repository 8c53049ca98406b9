import { backoff, LONGEST, LONGEST_WHILE_HELD } from '../support/backoff.ts'
import { type Clock, sleep } from '../support/clock.ts'
import type { ErrorCode, ErrorStatus, EtcdRegisterError } from '../support/errors.ts'
import type { Logger } from '../support/logger.ts'
import { errorFields } from '../support/logger.ts'
import { type Line, WarnOnce } from '../support/warn-once.ts'

/** How the connection to etcd stands; durations in ms, times of the day as ISO 8601. */
export interface EtcdStatus {
  /** URLs. */
  hosts: string[]
  /** URL of the member that answered last. */
  member: string | undefined
  /** `down`: nothing works now, since etcd is away, refuses all that was asked, or its client cannot be loaded. */
  connection: 'idle' | 'up' | 'down' | 'closed'
  since: string
  lastError: ErrorStatus | undefined
}

/** With these nobody gets through, and a warning here says so; with any other error etcd has answered. */
export const AWAY: ReadonlySet<ErrorCode> = new Set([
  'ERR_ETCD_UNAVAILABLE',
  'ERR_ETCD_TIMEOUT',
  'ERR_ETCD_TLS',
  'ERR_ETCD_AUTH',
  'ERR_ETCD_CLIENT',
  'ERR_CREDENTIALS',
])

/** With these etcd reads and renews leases, but writes nothing. */
export const READ_ONLY: ReadonlySet<ErrorCode> = new Set(['ERR_ETCD_NO_SPACE', 'ERR_ETCD_CORRUPT'])

/** One condition: what a mute etcd looks like depends on which of two timers ends first. */
const SILENT: ReadonlySet<ErrorCode> = new Set(['ERR_ETCD_UNAVAILABLE', 'ERR_ETCD_TIMEOUT'])

/** Without an invalid answer for so long, in ms, those of etcd are valid again: one kind of them can be good all the time. */
const SOUND = 10_000

export interface HealthDeps {
  clock: Clock
  logger: Logger
  /** A request whose end is told here, like that of any other. */
  probe(): Promise<void>
  /** Where etcd is, for messages. */
  where(): string
}

/** What an answer says beside that there is one. */
export interface Answer {
  member: string | undefined
  /** Of a connection and credentials of now: etcd grants and renews leases without any. */
  trusted: boolean
  /** That etcd writes. */
  written?: boolean
}

/** Whether etcd answers, by what became of our requests. While it does not, one probe asks for all who wait. */
export class Health {
  readonly #deps: HealthDeps
  readonly #closing = new AbortController()
  readonly #waiting = new Set<() => void>()
  #state: EtcdStatus['connection'] = 'idle'
  #since: Date
  #member: string | undefined
  #lastError: ErrorStatus | undefined
  readonly #away: WarnOnce
  readonly #readOnly: WarnOnce
  /** Some answer was none that etcd gives; whether nothing shows that others do better, when it came, and from whom. */
  readonly #distrusted: WarnOnce
  #distrusts = false
  #distrustedAt = 0
  #distrustedMember: string | undefined
  /** What this user may do, as far as it was seen since etcd was away: `none` is when all was refused. */
  #permission: 'unknown' | 'some' | 'none' = 'unknown'
  #leaseEndsAt = 0

  constructor(deps: HealthDeps) {
    this.#deps = deps
    this.#since = deps.clock.date()
    this.#away = new WarnOnce(deps.clock, deps.logger)
    this.#readOnly = new WarnOnce(deps.clock, deps.logger)
    this.#distrusted = new WarnOnce(deps.clock, deps.logger)
  }

  /** Aborts with `close()`. */
  get closed(): AbortSignal {
    return this.#closing.signal
  }

  status(): Omit<EtcdStatus, 'hosts'> {
    return {
      member: this.#member,
      connection: this.#isOfNoUse ? 'down' : this.#state,
      since: this.#since.toISOString(),
      lastError: this.#lastError,
    }
  }

  get #isOfNoUse(): boolean {
    if (this.#state === 'closed') return false
    return this.#distrusts || (this.#state === 'up' && this.#permission === 'none')
  }

  /** Why etcd is known to be away, if it is. */
  get down(): ErrorStatus | undefined {
    return this.#state === 'down' ? this.#lastError : undefined
  }

  /** Resolves as soon as etcd is not known to be away, or the signal aborts. */
  waitForReady(signal: AbortSignal): Promise<void> {
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

  /** A lease runs until then, by our clock: while it does, tries are at most a second apart. */
  leaseEnds(at: number): void {
    this.#leaseEndsAt = Math.max(this.#leaseEndsAt, at)
  }

  /** Milliseconds that the lease still has; infinite where there is none to lose. */
  get leaseRest(): number {
    const rest = this.#leaseEndsAt - this.#deps.clock.now()
    return rest > 0 ? rest : Number.POSITIVE_INFINITY
  }

  /**
   * Waits before another try: with backoff, or, where etcd is known to be away, until it answers again. `attempt` counts
   * from 0 the tries after a failure; -1: nothing failed, so there is no pause while etcd answers.
   */
  async pause(attempt: number, signal: AbortSignal): Promise<void> {
    const isDown = this.#state === 'down'
    if (isDown) await this.waitForReady(signal)
    // Also then a little, so that not all who waited come at once.
    if (attempt >= 0) await sleep(this.#deps.clock, this.#backoff(isDown ? 0 : attempt), signal)
  }

  answered({ member, trusted, written = false }: Answer): void {
    this.#member = member
    const isSound = this.#deps.clock.now() - this.#distrustedAt > SOUND
    if (isSound || member !== this.#distrustedMember) this.#distrusts = false
    if (isSound) this.#distrusted.ends(() => soundAgain(member))
    if (trusted) this.#permission = 'some'
    if (written) {
      this.#readOnly.ends(() => ({ fields: { member }, message: `etcd at ${member} takes writes again` }))
    }
    // A stream that is older, or a lease, works on where a login or a new connection does not.
    if (this.#state === 'down' && !trusted && !SILENT.has(this.#lastError!.code)) return
    this.connected()
  }

  /** etcd has answered, be it with a refusal. */
  connected(): void {
    const member = this.#member
    if (this.#state === 'up' || this.#state === 'closed') return
    this.#away.ends(() => {
      return { fields: { member }, message: `etcd at ${member ?? this.#deps.where()} answers again` }
    })
    this.#transit('up')
    this.#release()
  }

  /** `member`: who answered so. */
  failed(error: EtcdRegisterError, member?: string): void {
    const { code, message } = error
    this.#lastError = { code, message, at: this.#deps.clock.date().toISOString() }
    if (this.#state === 'closed') return
    const warning = { fields: errorFields(error), message: `${message} Retrying.` }
    if (code === 'ERR_ETCD_ANSWER') {
      this.#distrusts = true
      this.#distrustedAt = this.#deps.clock.now()
      this.#distrustedMember = member
      this.#distrusted.begins(code, warning)
      return
    }
    if (!AWAY.has(code)) {
      if (code === 'ERR_ETCD_PERMISSION' && this.#permission === 'unknown') this.#permission = 'none'
      this.connected()
      if (READ_ONLY.has(code)) this.#readOnly.begins(code, warning)
      return
    }
    this.#away.begins(SILENT.has(code) ? 'silent' : code, warning)
    if (this.#state === 'down') return
    this.#permission = 'unknown'
    this.#transit('down')
    void this.#probeUntilUp()
  }

  close(): void {
    this.#transit('closed')
    this.#closing.abort()
    this.#away.close()
    this.#readOnly.close()
    this.#distrusted.close()
    this.#release()
  }

  #release(): void {
    for (const done of this.#waiting) done()
  }

  #backoff(attempt: number): number {
    const { clock } = this.#deps
    return backoff(attempt, clock, clock.now() < this.#leaseEndsAt ? LONGEST_WHILE_HELD : LONGEST)
  }

  async #probeUntilUp(): Promise<void> {
    const { clock, probe } = this.#deps
    for (let attempt = 0; this.#state === 'down'; attempt += 1) {
      await sleep(clock, this.#backoff(attempt), this.#closing.signal)
      if (this.#state === 'down') await probe().catch(() => {})
    }
  }

  #transit(state: EtcdStatus['connection']): void {
    this.#state = state
    this.#since = this.#deps.clock.date()
  }
}

function soundAgain(member: string | undefined): Line {
  return { fields: { member }, message: `etcd at ${member} sends valid answers again` }
}
