import type { Address, AddressRule } from './address.ts'
import { Advertisement } from './advertisement.ts'
import { backoff } from './backoff.ts'
import { type Clock, sleep } from './clock.ts'
import { Emitter } from './emitter.ts'
import { EtcdRegisterError } from './errors.ts'
import { AWAY, type Connection } from './etcd/connection.ts'
import type { KeyValue } from './etcd/key-value.ts'
import { ABSENT, type Known, knownOf, writeOwned } from './etcd/owned-keys.ts'
import type { PlacedFormat } from './formats/index.ts'
import { KeyGuard, type KeyObserver, type KeyWatcher } from './key-guard.ts'
import { etcdctlId, type Lease, type LeaseKeeper, type LeaseUser } from './lease.ts'
import { type Details, milliseconds, type ResolvedService } from './options.ts'
import type { RetiredKeys } from './retired-keys.ts'
import type {
  Logger,
  LossReason,
  Registration,
  RegistrationEvents,
  RegistrationState,
  RegistryStatus,
  ServiceInstance,
} from './types.ts'
import { Waiters } from './waiters.ts'

const TRANSITIONS: Readonly<Record<RegistrationState, readonly RegistrationState[]>> = {
  registering: ['registered', 'suspended', 'conflict', 'closed'],
  registered: ['suspended', 'lost', 'conflict', 'closed'],
  suspended: ['registered', 'lost', 'conflict', 'closed'],
  lost: ['registered', 'suspended', 'conflict', 'closed'],
  conflict: ['registered', 'suspended', 'closed'],
  closed: [],
}

export interface RegistrationDeps {
  connection: Connection
  lease: LeaseKeeper
  clock: Clock
  logger: Logger
  formats: readonly PlacedFormat[]
  /** Follows a key; how, the write side does not know. */
  watchKey: KeyWatcher
  address(): Promise<Address>
  /** Reserves keys within the registry; rejects with `ERR_CONFLICT` if another registration of it has one of them. */
  claim(registration: ServiceRegistration, keys: readonly string[]): Promise<void>
  retired: RetiredKeys
  closed(registration: ServiceRegistration): void
}

/**
 * Drives what is in etcd towards what is wanted. Whatever happens (a lease, a loss, somebody else's write, an update)
 * only says that there is something to look at; one worker looks, and writes what is missing.
 */
export class ServiceRegistration extends Emitter<RegistrationEvents> implements Registration, LeaseUser {
  readonly #advertised: Advertisement
  readonly #deps: RegistrationDeps
  readonly #closing = new AbortController()
  readonly #waiters = new Waiters()
  readonly #guards = new Map<string, KeyGuard>()
  /** Every key that we may have written, and how it stands. */
  readonly #known = new Map<string, Known>()
  readonly #told = new Set<string>()
  /** What was seen of our keys while a write was under way; its answer says what of it is news. */
  readonly #unseen: (() => void)[] = []
  /** What it was warned of that a format cannot carry. */
  readonly #lost = new Set<string>()
  readonly #worker: Promise<void>
  /** The one that was last written under, or tried to. */
  #lease: string | undefined
  #rule: AddressRule | undefined
  #state: RegistrationState = 'registering'
  #since: Date
  #lastError: { error: EtcdRegisterError; at: Date } | undefined
  /** Counts what was asked for; `#written` is the last of it that etcd has. */
  #wanted = 1
  #written = 0
  #dirty = true
  #writing = false
  #look: () => void = () => {}
  #leaving: Promise<void> | undefined
  #retired: Promise<void> | undefined

  /** `provisionalHost`: what to show until the address is found. Throws `ERR_INVALID_OPTION` if the value is too long. */
  constructor(service: ResolvedService, provisionalHost: string, deps: RegistrationDeps) {
    super(deps.logger)
    this.#deps = deps
    this.#advertised = new Advertisement(service, provisionalHost, deps.formats)
    this.#since = deps.clock.date()
    this.#warnOfLost()
    deps.lease.acquire(this)
    this.#worker = this.#run()
  }

  get instance(): ServiceInstance {
    return this.#advertised.instance(this.#deps.lease.current?.id)
  }

  get state(): RegistrationState {
    return this.#state
  }

  ready({ signal }: { signal?: AbortSignal } = {}): Promise<void> {
    return this.#waiters.until(() => {
      if (this.#state !== 'registering' && this.#state !== 'closed') return true
      this.#throwIfHopeless()
      return false
    }, signal)
  }

  async update(patch: Partial<Details>): Promise<void> {
    this.#advertised.update(patch)
    this.#warnOfLost()
    await this.#published()
  }

  suspend(): Promise<void> {
    this.#advertised.status = 'suspended'
    return this.#published()
  }

  resume(): Promise<void> {
    this.#advertised.status = 'up'
    return this.#published()
  }

  /** When its keys are gone, which can be after `deregister()` gave up waiting; `undefined` before that. */
  get retired(): Promise<void> | undefined {
    return this.#retired
  }

  async deregister({ timeout = 3000 }: { timeout?: number } = {}): Promise<void> {
    this.#leaving ??= this.#leave(milliseconds('timeout', timeout))
    await this.#leaving
  }

  status(): RegistryStatus['registrations'][number] {
    const { name, id } = this.instance
    const last = this.#lastError
    return {
      name,
      id,
      keys: [...this.#known.keys()],
      state: this.#state,
      since: this.#since.toISOString(),
      address: this.#rule,
      lastError: last && { code: last.error.code, message: last.error.message, at: last.at.toISOString() },
    }
  }

  held(): void {
    this.#lookAgain()
  }

  lost(reason: LossReason): void {
    this.#lose(reason)
  }

  renewed({ id, ttl }: Lease): void {
    if (this.listenerCount('renewed') > 0) this.tell('renewed', { id: etcdctlId(id), ttl })
  }

  failed(error: EtcdRegisterError): void {
    this.#lastError = { error, at: this.#deps.clock.date() }
    this.#waiters.wake()
  }

  /** Resolves when etcd has what is wanted now. */
  #published(): Promise<void> {
    this.#wanted += 1
    const version = this.#wanted
    this.#lookAgain()
    return this.#waiters.until(() => {
      if (this.#written >= version) return true
      this.#throwIfHopeless()
      if (this.#state !== 'conflict') return false
      throw new EtcdRegisterError(
        'ERR_CONFLICT',
        `Another process registered under ${this.instance.key} after this one, which stays out of it. Give each an "id" of its own.`,
      )
    })
  }

  #throwIfHopeless(): void {
    if (this.#closing.signal.aborted) {
      throw new EtcdRegisterError('ERR_CLOSED', `The registration of "${this.instance.name}" is closed.`)
    }
    if (this.#lastError?.error.retryable === false) throw this.#lastError.error
  }

  #lookAgain(): void {
    this.#dirty = true
    this.#look()
  }

  async #run(): Promise<void> {
    const { clock, connection, lease } = this.#deps
    const { signal } = this.#closing
    signal.addEventListener('abort', () => this.#look())
    for (let attempt = 0; !signal.aborted; ) {
      try {
        if (this.#rule === undefined) await this.#findAddress()
        while (!signal.aborted && !(this.#dirty && lease.current !== undefined)) {
          await new Promise<void>(resolve => {
            this.#look = resolve
          })
        }
        if (signal.aborted) return
        await this.#write(lease.current!)
        attempt = 0
      } catch (error) {
        if (signal.aborted) return
        this.#dirty = true
        this.#complain(error as EtcdRegisterError)
        await sleep(clock, backoff(attempt, clock), signal)
        await connection.whenUp(signal)
        attempt += 1
      }
    }
  }

  /** One line for each kind of failure until a write succeeds; that etcd is away, the connection says. */
  #complain(error: EtcdRegisterError): void {
    const { code, message } = error
    this.failed(error)
    if (error.retryable || AWAY.has(code) || this.#told.has(code)) return
    this.#told.add(code)
    this.#deps.logger.warn({ err: error, code, service: this.instance.name }, `${message} Trying on.`)
  }

  async #findAddress(): Promise<void> {
    const { host, rule } = await this.#deps.address()
    this.#advertised.host = host
    await this.#deps.claim(this, this.#advertised.keys())
    this.#rule = rule
    if (rule !== 'loopback') return
    const text = `advertising ${host}, which only this machine can reach; set the option "host" or SERVICE_HOST`
    this.#deps.logger.warn({ host, service: this.instance.name }, text)
  }

  /** In one line, once for each thing. */
  #warnOfLost(): void {
    const lines: string[] = []
    for (const [format, names] of this.#advertised.lost()) {
      const news = names.filter(name => !this.#lost.has(`${format} ${name}`))
      for (const name of news) this.#lost.add(`${format} ${name}`)
      if (news.length > 0) lines.push(`format "${format}" cannot carry ${news.join(', ')}`)
    }
    if (lines.length === 0) return
    const { name } = this.instance
    this.#deps.logger.warn(
      { service: name },
      `${lines.join('; ')}: who reads "${name}" there will not see it`,
    )
  }

  async #write(held: Lease): Promise<void> {
    this.#writing = true
    try {
      await this.#publish(held)
    } finally {
      this.#writing = false
      for (const look of this.#unseen.splice(0)) look()
    }
  }

  /** In one transaction: everything that is wanted, nothing that is not, and only over what is ours. */
  async #publish({ id }: Lease): Promise<void> {
    const { connection, lease, retired } = this.#deps
    const version = this.#wanted
    const { status } = this.#advertised
    const puts = this.#advertised.entries(id)
    const deletes = [...this.#known.keys()].filter(key => !puts.some(put => put.key === key))
    const past = this.#underPast(id, puts)
    for (const { key } of puts) {
      if (this.#known.has(key)) continue
      this.#known.set(key, ABSENT)
      retired.release(key)
    }
    this.#dirty = false
    try {
      const mayTake = (found: KeyValue) => this.#isOurs(found) || this.#takesOver(found)
      const result = await writeOwned(connection, {
        puts,
        deletes,
        lease: id,
        known: this.#known,
        mayTake,
      })
      if ('refused' in result) {
        this.#yield(result.refused)
        return await this.#withdraw()
      }
      const { revision } = result
      for (const { key } of puts) this.#guard(key, { revision, present: true })
      for (const key of deletes) {
        this.#known.delete(key)
        if (!past.has(key)) this.#guard(key, { revision, present: false })
      }
    } catch (error) {
      if ((error as EtcdRegisterError).code !== 'ERR_ETCD_LEASE_NOT_FOUND') throw error
      lease.invalidate(id)
      return this.#lookAgain()
    }
    this.#lastError = undefined
    this.#told.clear()
    this.#written = version
    // A lease that was lost while etcd answered is no registration; the next one is.
    if (lease.current?.id === id) this.#transit(status === 'suspended' ? 'suspended' : 'registered')
    this.#waiters.wake()
  }

  /** In conflict over one key, we are out under all. */
  async #withdraw(): Promise<void> {
    const known = this.#known
    const mayTake = ({ lease }: KeyValue) => this.#deps.lease.owns(lease)
    for (;;) {
      const deletes = [...known.keys()].filter(key => known.get(key) !== ABSENT)
      if (deletes.length === 0) return
      const result = await writeOwned(this.#deps.connection, {
        puts: [],
        deletes,
        lease: '0',
        known,
        mayTake,
      })
      if (!('refused' in result)) return
      known.set(result.refused.key, ABSENT)
    }
  }

  /** With a new lease, the keys of the one before: they need no guard, since a late write goes with that lease. */
  #underPast(lease: string, puts: readonly { key: string }[]): ReadonlySet<string> {
    if (this.#lease === lease) return new Set()
    this.#lease = lease
    for (const [key, guard] of this.#guards) {
      if (puts.some(put => put.key === key)) continue
      guard.close()
      this.#guards.delete(key)
    }
    return new Set(this.#known.keys())
  }

  #isOurs({ lease }: KeyValue): boolean {
    return lease === '0' || this.#deps.lease.owns(lease)
  }

  /** The newer process wins; at its first registration, and only then, a process is the newer one. */
  #takesOver({ key, lease }: KeyValue): boolean {
    if (this.#written > 0 || this.#state === 'conflict') return false
    this.#deps.logger.info(
      { key, lease },
      `${key} was there, of another process or an earlier run; taking it over`,
    )
    return true
  }

  /** From our own write on, whatever becomes of the key is seen. */
  #guard(key: string, seen: { revision: number; present: boolean }): void {
    if (this.#guards.has(key) || this.#closing.signal.aborted) return
    const observe: KeyObserver = (found, revision) => this.#observe(key, found, revision)
    this.#guards.set(key, new KeyGuard(this.#deps.watchKey, key, seen, observe))
  }

  #observe(key: string, found: KeyValue | undefined, revision: number | undefined): void {
    if (this.#closing.signal.aborted) return
    if (this.#writing) {
      this.#unseen.push(() => this.#observe(key, found, revision))
      return
    }
    // Whether we wrote before or after the store went back, only a write can tell.
    if (revision === undefined) {
      this.#lookAgain()
      return
    }
    const known = this.#known.get(key)
    if (known === undefined) {
      // Not wanted: what is there of ours is a write that came late.
      if (found === undefined || !this.#deps.lease.owns(found.lease)) return
      this.#known.set(key, knownOf(found))
      this.#lookAgain()
      return
    }
    if (revision <= known.revision) return
    if (found !== undefined && !this.#isOurs(found)) {
      this.#yield(found)
      return
    }
    this.#known.set(key, knownOf(found))
    if (found !== undefined && this.#isWanted(found)) return
    this.#lose(found === undefined ? 'key-deleted' : 'key-overwritten')
  }

  #isWanted({ key, value, lease }: KeyValue): boolean {
    if (lease !== this.#deps.lease.current?.id) return false
    return this.#advertised
      .entries(lease)
      .some(put => put.key === key && value.equals(Buffer.from(put.value)))
  }

  #lose(reason: LossReason): void {
    this.#transit('lost', reason)
    this.#lookAgain()
  }

  #yield({ key, revision }: KeyValue): void {
    // Not as it is: by that we could overwrite and delete it.
    this.#known.set(key, ABSENT)
    this.#guard(key, { revision, present: true })
    if (!this.#transit('conflict')) return
    this.#deps.logger.warn(
      { key },
      `another process registered under ${key}; this one stays out until it is gone`,
    )
    this.tell('conflict', key)
    this.#waiters.wake()
    this.#lookAgain()
  }

  async #leave(timeout: number): Promise<void> {
    const { clock, lease } = this.#deps
    const timedOut = new AbortController()
    const cancel = clock.after(timeout, () => timedOut.abort())
    const expired = new Promise<void>(resolve => timedOut.signal.addEventListener('abort', () => resolve()))
    const wasUp = this.#state === 'registered'
    this.#closing.abort()
    for (const guard of this.#guards.values()) guard.close()
    this.#retired = this.#worker.then(() => this.#retire(wasUp))
    await Promise.race([this.#retired, expired])
    // With the last user the lease goes, and with it whatever etcd still has of ours.
    await Promise.race([lease.release(this).catch(() => {}), expired])
    cancel()
    this.#transit('closed')
    this.tell('closed')
    this.#waiters.wake()
    this.#deps.closed(this)
  }

  /** Announces, then deletes. */
  async #retire(announce: boolean): Promise<void> {
    const { connection, lease } = this.#deps
    const current = lease.current
    if (announce && current !== undefined && this.#known.size > 0) {
      this.#advertised.status = 'leaving'
      const puts = this.#advertised.entries(current.id)
      const mine = {
        lease: current.id,
        known: this.#known,
        mayTake: (found: KeyValue) => found.lease === current.id,
      }
      const deletes = [...this.#known.keys()].filter(key => !puts.some(put => put.key === key))
      if (puts.length > 0) await writeOwned(connection, { ...mine, puts, deletes }).catch(() => {})
    }
    for (const key of this.#guards.keys()) if (!this.#known.has(key)) this.#known.set(key, ABSENT)
    await this.#deps.retired.remove(this.#known)
  }

  #transit(state: RegistrationState, reason?: LossReason): boolean {
    const previous = this.#state
    if (!TRANSITIONS[previous].includes(state)) return false
    this.#state = state
    this.#since = this.#deps.clock.date()
    const { name: service, id, endpoints } = this.instance
    this.#deps.logger.info({ service, id, endpoints, state, previous, reason }, `${service} ${id}: ${state}`)
    this.tell('state', state, previous)
    if (state === 'registered') this.tell('registered', this.instance)
    if (state === 'lost' && reason !== undefined) this.tell('lost', reason)
    return true
  }
}
