import type { Address, AddressRule } from './address.ts'
import { Advertisement } from './advertisement.ts'
import type { Clock } from './clock.ts'
import { Emitter } from './emitter.ts'
import { EtcdRegisterError } from './errors.ts'
import { AWAY } from './etcd/availability.ts'
import type { KeyValue } from './etcd/key-value.ts'
import type { PlacedFormat } from './formats/index.ts'
import { InstanceKeys, type InstanceKeysDeps } from './instance-keys.ts'
import type { Lease } from './keepalive.ts'
import { etcdctlId, type LeaseUser } from './lease.ts'
import { Losses } from './losses.ts'
import { type Details, milliseconds, type ResolvedService } from './options.ts'
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
import { Worker } from './worker.ts'

const TRANSITIONS: Readonly<Record<RegistrationState, readonly RegistrationState[]>> = {
  registering: ['registered', 'suspended', 'conflict', 'closed'],
  registered: ['suspended', 'lost', 'conflict', 'closed'],
  suspended: ['registered', 'lost', 'conflict', 'closed'],
  lost: ['registered', 'suspended', 'conflict', 'closed'],
  conflict: ['registered', 'suspended', 'closed'],
  closed: [],
}

export interface RegistrationDeps extends InstanceKeysDeps {
  clock: Clock
  logger: Logger
  formats: readonly PlacedFormat[]
  address(): Promise<Address>
  /** Reserves keys within the registry; rejects with `ERR_CONFLICT` if another registration of it has one of them. */
  claim(registration: ServiceRegistration, keys: readonly string[]): Promise<void>
  closed(registration: ServiceRegistration): void
}

/**
 * Drives what is in etcd towards what is wanted. Whatever happens (a lease, a loss, somebody else's write, an update)
 * only says that there is something to look at; one worker looks, and writes what is missing.
 */
export class ServiceRegistration extends Emitter<RegistrationEvents> implements Registration, LeaseUser {
  /** Rejects once etcd has refused for good to delete its keys, which is tried on. */
  readonly refused: Promise<never>
  readonly #advertised: Advertisement
  readonly #deps: RegistrationDeps
  readonly #closing = new AbortController()
  readonly #waiters = new Waiters()
  readonly #keys: InstanceKeys
  readonly #losses: Losses
  readonly #told = new Set<string>()
  readonly #worker: Worker
  #rule: AddressRule | undefined
  #state: RegistrationState = 'registering'
  #since: Date
  #lastError: { error: EtcdRegisterError; at: Date } | undefined
  /** Counts what was asked for; `#written` is the last of it that etcd has. */
  #wanted = 1
  #written = 0
  /** The key that somebody newer has, last we heard. */
  #taken: string | undefined
  #leaving: Promise<void> | undefined
  #retired: Promise<void> | undefined
  #refuse!: (error: EtcdRegisterError) => void

  /**
   * `provisionalHost`: what to show until the address is found. Throws `ERR_INVALID_OPTION` if the value is too long, or
   * if two formats share keys.
   */
  constructor(service: ResolvedService, provisionalHost: string, deps: RegistrationDeps) {
    super(deps.logger)
    this.#deps = deps
    this.refused = new Promise((_, reject) => {
      this.#refuse = reject
    })
    this.refused.catch(() => {})
    this.#advertised = new Advertisement(service, provisionalHost, deps.formats)
    this.#since = deps.clock.date()
    this.#keys = new InstanceKeys(deps, {
      unclear: () => this.#worker.look(),
      taken: key => this.#yield(key),
      changed: found => this.#repair(found),
    })
    this.#losses = new Losses(deps.formats, deps.logger, service.protocolGiven)
    this.#losses.check(this.instance)
    this.#worker = new Worker(
      deps,
      {
        prepare: () => this.#findAddress(),
        ready: () => deps.lease.current !== undefined,
        run: () => this.#keys.during(() => this.#publish(deps.lease.current!)),
        failed: error => this.#complain(error),
      },
      this.#closing.signal,
    )
    deps.lease.acquire(this)
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
    this.#losses.check(this.instance)
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
      keys: this.#keys.names,
      state: this.#state,
      since: this.#since.toISOString(),
      address: this.#rule,
      lastError: last && { code: last.error.code, message: last.error.message, at: last.at.toISOString() },
    }
  }

  held(): void {
    this.#worker.look()
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
    // Of what was wanted before; whether this can be had is still to be seen.
    this.#lastError = undefined
    const version = this.#wanted
    this.#worker.look()
    return this.#waiters.until(() => {
      if (this.#written >= version) return true
      this.#throwIfHopeless()
      if (this.#state !== 'conflict') return false
      throw new EtcdRegisterError(
        'ERR_CONFLICT',
        `Another process registered under ${this.#taken} after this one, which stays out of it. Give each an "id" of its own.`,
      )
    })
  }

  #throwIfHopeless(): void {
    if (this.#closing.signal.aborted) {
      throw new EtcdRegisterError('ERR_CLOSED', `The registration of "${this.instance.name}" is closed.`)
    }
    if (this.#lastError?.error.retryable === false) throw this.#lastError.error
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
    const { host, rule, local = false } = await this.#deps.address()
    this.#advertised.host = host
    await this.#deps.claim(this, this.#advertised.keys())
    this.#rule = rule
    if (!local) return
    const text = `advertising ${host}, which only this machine can reach; listen on 0.0.0.0, or set the option "host" or SERVICE_HOST`
    this.#deps.logger.warn({ host, service: this.instance.name }, text)
  }

  /** Everything that is wanted, and nothing that is not. */
  async #publish({ id }: Lease): Promise<void> {
    const { lease } = this.#deps
    const version = this.#wanted
    const { status } = this.#advertised
    try {
      const conflict = await this.#keys.write(this.#advertised.entries(id), id, found =>
        this.#takesOver(found),
      )
      if (conflict !== undefined) {
        this.#yield(conflict.taken)
        // In conflict over one key, we are out under all.
        return await this.#keys.withdraw()
      }
    } catch (error) {
      if ((error as EtcdRegisterError).code !== 'ERR_ETCD_LEASE_NOT_FOUND') throw error
      // Whether it is lost now or was before, the next one is looked at.
      return lease.invalidate(id)
    }
    this.#lastError = undefined
    this.#told.clear()
    this.#written = version
    // A lease that was lost while etcd answered is no registration; the next one is.
    if (lease.current?.id === id) this.#transit(status === 'suspended' ? 'suspended' : 'registered')
    this.#waiters.wake()
  }

  /** The newer process wins: of what is older than we, all but what made us stay out. */
  #takesOver({ key, lease }: KeyValue): boolean {
    if (this.#state === 'conflict') return false
    this.#deps.logger.info(
      { key, lease },
      `${key} was there, of another process or an earlier run; taking it over`,
    )
    return true
  }

  #repair(found: KeyValue | undefined): void {
    const { current } = this.#deps.lease
    if (found !== undefined && found.lease === current?.id && this.#advertised.has(found)) return
    this.#lose(found === undefined ? 'key-deleted' : 'key-overwritten')
  }

  #lose(reason: LossReason): void {
    this.#transit('lost', reason)
    this.#worker.look()
  }

  #yield(key: string): void {
    this.#taken = key
    if (!this.#transit('conflict')) return
    this.#deps.logger.warn(
      { key },
      `another process registered under ${key}; this one stays out until it is gone`,
    )
    this.tell('conflict', key)
    this.#waiters.wake()
    this.#worker.look()
  }

  async #leave(timeout: number): Promise<void> {
    const { clock, lease } = this.#deps
    const timedOut = new AbortController()
    const cancel = clock.after(timeout, () => timedOut.abort())
    const expired = new Promise<void>(resolve => timedOut.signal.addEventListener('abort', () => resolve()))
    const wasUp = this.#state === 'registered'
    this.#closing.abort()
    this.#keys.close()
    this.#retired = this.#worker.over.then(() => this.#retire(wasUp))
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
    const { current } = this.#deps.lease
    if (announce && current !== undefined) await this.#announce(current).catch(() => {})
    await this.#keys.remove(this, error => this.#stay(error))
  }

  /** Of a delete that is tried on for as long as others keep the lease. */
  #stay(error: EtcdRegisterError): void {
    this.#refuse(error)
    if (this.#told.has(error.code)) return
    this.#told.add(error.code)
    const { name, id } = this.instance
    const text = `${error.message} ${name} ${id} has left, but its keys stay until then. Trying on.`
    this.#deps.logger.warn({ err: error, code: error.code, service: name, id }, text)
  }

  async #announce({ id }: Lease): Promise<void> {
    this.#advertised.status = 'leaving'
    const puts = this.#advertised.entries(id)
    if (puts.length > 0) await this.#keys.announce(puts, id)
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
