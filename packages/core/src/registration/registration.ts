import type { EventEmitter } from 'node:events'
import { AWAY } from '../etcd/client/health.ts'
import type { HeldLease } from '../etcd/lease/renewal.ts'
import { etcdctlId, isOfThisProcess, type LeaseStatus } from '../etcd/lease/session.ts'
import { milliseconds } from '../etcd/options/options.ts'
import { type Clock, sleep } from '../etcd/support/clock.ts'
import { Condition, signalOf } from '../etcd/support/condition.ts'
import { Emitter } from '../etcd/support/emitter.ts'
import { abortedText, type ErrorStatus, EtcdRegisterError } from '../etcd/support/errors.ts'
import { inspectAs } from '../etcd/support/inspect.ts'
import type { Logger } from '../etcd/support/logger.ts'
import { errorFields } from '../etcd/support/logger.ts'
import { checkNames } from '../etcd/support/option-names.ts'
import { LASTING, type SharedWarnOnce, WarnOnce } from '../etcd/support/warn-once.ts'
import type { KeyValue } from '../etcd/wire/key-value.ts'
import type { ResolvedFormat } from '../formats/index.ts'
import { type Address, type AddressRule, isOwnAddress, MOVING_RULES } from '../instance/address.ts'
import type { ServiceInstance } from '../instance/instance.ts'
import { type Details, type ResolvedService, type ServiceOptions } from '../instance/service-options.ts'
import { InstanceKeys, type InstanceKeysDeps, type Taken } from './instance-keys.ts'
import { LossyFieldWarnings } from './lossy-field-warnings.ts'
import { Reconciler } from './reconciler.ts'
import { InstanceRecord } from './record.ts'
import { SessionKeeper, type SessionKeeperDeps } from './session-keeper.ts'
import { type LossReason, type RegistrationState, TRANSITIONS } from './state.ts'

/** How a registration stands; durations in ms, times of the day as ISO 8601. */
export interface RegistrationStatus {
  name: string
  id: string
  keys: string[]
  state: RegistrationState
  since: string
  lease: LeaseStatus
  /** Which rule chose the advertised host. */
  address: AddressRule | undefined
  lastError: ErrorStatus | undefined
}

/** Of `deregister()`: milliseconds. Throws `ERR_INVALID_OPTION`. */
function timeoutOf(options: { timeout?: number | undefined }): number {
  checkNames('options of deregister()', options, ['timeout'])
  const { timeout = 3000 } = options
  return milliseconds('timeout', timeout)
}

export interface RegistrationEvents {
  state: [state: RegistrationState, previous: RegistrationState]
  registered: [instance: ServiceInstance]
  lost: [reason: LossReason]
  /** `ttl` in seconds, as the option. */
  renewed: [lease: { id: string; ttl: number }]
  conflict: [key: string]
  /** The machine has another address, and etcd has the instance there. */
  moved: [instance: ServiceInstance, previous: ServiceInstance]
  closed: []
}

/** One registered instance. It repairs itself until `deregister()`; it never emits `error`. */
export interface Registration extends EventEmitter<RegistrationEvents> {
  /**
   * What is, or will be, in etcd; the same object until something of it changes. Once `ready()` resolved, the host changes
   * only with the address of the machine (`moved`), and a default id with it.
   */
  readonly instance: ServiceInstance
  readonly state: RegistrationState
  /**
   * Resolves after the first successful put. Rejects on abort (`ERR_ABORTED`), on close (`ERR_CLOSED`), or with an error that trying
   * again will not mend, such as `ERR_ETCD_AUTH`; the registration goes on trying all the same.
   */
  ready(options?: { signal?: AbortSignal | undefined }): Promise<void>
  /** Changes what is published; resolves when etcd has it. */
  update(patch: Partial<Pick<ServiceOptions, 'weight' | 'metadata' | 'version' | 'zone'>>): Promise<void>
  /** Out of rotation while the process lives; resolves when etcd has it. */
  suspend(): Promise<void>
  resume(): Promise<void>
  /** Announces `leaving`, then revokes the lease, and the key with it. Ends within `timeout` ms, default 3000. */
  deregister(options?: { timeout?: number | undefined }): Promise<void>
}

export interface RegistrationDeps extends InstanceKeysDeps {
  clock: Clock
  logger: Logger
  formats: readonly ResolvedFormat[]
  address(): Promise<Address>
  /** That there is none, for all registrations of the registry. */
  unaddressed: SharedWarnOnce
  session: SessionKeeperDeps
  /** Reserves keys within the registry. Throws `ERR_CONFLICT` if another registration of it has one of them. */
  claim(registration: ServiceRegistration, keys: readonly string[]): void
  /** It needs them no more. */
  unclaim(registration: ServiceRegistration): void
  closed(registration: ServiceRegistration): void
}

/**
 * Drives what is in etcd towards what is wanted. Whatever happens (a lease, a loss, somebody else's write, an update)
 * only triggers the reconciler, which looks and writes what is missing.
 */
export class ServiceRegistration extends Emitter<RegistrationEvents> implements Registration {
  readonly #record: InstanceRecord
  readonly #deps: RegistrationDeps
  readonly #closing = new AbortController()
  readonly #changed = new Condition()
  readonly #keys: InstanceKeys
  readonly #sessions: SessionKeeper
  readonly #lossyFields: LossyFieldWarnings
  /** Why it is not in etcd as it should be. */
  readonly #refused: WarnOnce
  /** Why its keys are not deleted. */
  readonly #staying: WarnOnce
  /** Why keys are not watched, and which ones. */
  readonly #unguarded: WarnOnce
  readonly #unwatched = new Set<string>()
  readonly #reconciler: Reconciler
  #rule: AddressRule | undefined
  #looking: Promise<Address | undefined> | undefined
  /** The instance as etcd has it at an address that the machine had before. */
  #movedFrom: ServiceInstance | undefined
  #state: RegistrationState = 'registering'
  #since: Date
  /** `of`: the last of what was asked for that it is about. */
  #lastError: { error: EtcdRegisterError; at: Date; of: number } | undefined
  /** Counts what was asked for; `#tried` is the last of it that was tried, `#written` that etcd has. */
  #wanted = 1
  #tried = 1
  #written = 0
  /** The key that somebody newer has, last we heard. */
  #taken: Taken | undefined
  /** A key is gone, and why is not known yet. */
  #deleted = false
  #revoked: Promise<void> | undefined
  /** Resolves when nothing of it is in etcd, as far as it can be done. */
  #gone: Promise<void> | undefined
  /** How many wait for that. */
  #leaving = 0
  /** Resolves once etcd has refused it, which is tried on. */
  readonly #hopeless: Promise<void>
  #giveUp!: () => void

  /**
   * `provisionalHost`: what to show until the address is found. Throws `ERR_INVALID_OPTION` if the value is too long, or
   * if two formats share keys.
   */
  constructor(service: ResolvedService, provisionalHost: string, deps: RegistrationDeps) {
    super(deps.logger)
    this.#deps = deps
    this.#hopeless = new Promise(resolve => {
      this.#giveUp = resolve
    })
    this.#record = new InstanceRecord(service, provisionalHost, deps.formats)
    this.#since = deps.clock.date()
    this.#refused = new WarnOnce(deps.clock, deps.logger)
    this.#staying = new WarnOnce(deps.clock, deps.logger)
    this.#unguarded = new WarnOnce(deps.clock, deps.logger)
    this.#keys = new InstanceKeys(deps, {
      listed: () => void this.#checkAddress(),
      unclear: () => this.#reconciler.trigger(),
      taken: by => this.#yield(by),
      changed: found => this.#repair(found),
      unwatched: (key, error) => this.#watchFailed(key, error),
      watched: key => this.#watchWorks(key),
    })
    this.#lossyFields = new LossyFieldWarnings(deps.formats, deps.logger, service.protocolGiven)
    this.#sessions = new SessionKeeper(deps.session, {
      held: () => {
        this.#reconciler.trigger()
        void this.#checkAddress()
      },
      lost: reason => this.#lose(reason),
      renewed: lease => this.#renewed(lease),
      failed: error => (this.#closing.signal.aborted ? this.#revocationFailed(error) : this.#failed(error)),
    })
    this.#reconciler = new Reconciler(
      deps,
      {
        prepare: () => this.#findAddress(),
        ready: () => this.#sessions.current !== undefined,
        run: () => this.#keys.during(() => this.#publish(this.#sessions.current!)),
        failed: error => this.#complain(error, this.#tried),
      },
      this.#closing.signal,
    )
  }

  /** Begins to work; until then nothing happens. */
  start(): void {
    this.#lossyFields.check(this.instance)
    this.#sessions.start()
    this.#reconciler.start()
  }

  get instance(): ServiceInstance {
    return this.#record.instance(this.#sessions.current?.id)
  }

  get state(): RegistrationState {
    return this.#state
  }

  async ready(options: { signal?: AbortSignal | undefined } = {}): Promise<void> {
    const signal = signalOf(options)
    const check = () => {
      if (this.#state !== 'registering' && this.#state !== 'closed') return true
      this.#throwIfHopeless()
      return false
    }
    const message = () => abortedText(`"${this.instance.name}" is registered`, this.#lastError?.error)
    await this.#changed.until(check, { signal, message })
  }

  async update(patch: Partial<Details>): Promise<void> {
    this.#record.update(patch)
    this.#lossyFields.check(this.instance)
    await this.#published()
  }

  suspend(): Promise<void> {
    this.#record.status = 'suspended'
    return this.#published()
  }

  resume(): Promise<void> {
    this.#record.status = 'up'
    return this.#published()
  }

  async deregister(options: { timeout?: number | undefined } = {}): Promise<void> {
    const timeout = timeoutOf(options)
    if (this.#state === 'closed') return
    this.#gone ??= this.#leave()
    this.#leaving += 1
    const done = new AbortController()
    const late = sleep(this.#deps.clock, timeout, done.signal).then(() => !done.signal.aborted)
    const isLate = await Promise.race([this.#gone.then(() => false), this.#hopeless.then(() => false), late])
    done.abort()
    this.#leaving -= 1
    if (isLate) this.#stay(`etcd has not answered within ${timeout} ms.`)
    // The end of the lease says the same as the announcement that nobody waits for any more.
    if (this.#leaving === 0) void this.#revoke()
    this.#close()
  }

  status(): RegistrationStatus {
    const { name, id } = this.instance
    const last = this.#lastError
    return {
      name,
      id,
      keys: this.#keys.names,
      state: this.#state,
      since: this.#since.toISOString(),
      lease: this.#sessions.status(),
      address: this.#rule,
      lastError: last && { code: last.error.code, message: last.error.message, at: last.at.toISOString() },
    }
  }

  toJSON(): object {
    return { ...this.status(), endpoints: this.instance.endpoints }
  }

  static {
    inspectAs('Registration', ServiceRegistration.prototype)
  }

  #renewed({ id, ttl }: HeldLease): void {
    if (this.listenerCount('renewed') > 0) this.emitSafely('renewed', { id: etcdctlId(id), ttl })
    // Connections can live on although their address is gone.
    if (this.#canMove && !isOwnAddress(this.#record.host)) void this.#checkAddress()
  }

  #failed(error: EtcdRegisterError, of: number = this.#wanted): void {
    this.#lastError = { error, at: this.#deps.clock.date(), of }
    this.#changed.notify()
  }

  /** Resolves when etcd has what is wanted now. */
  #published(): Promise<void> {
    this.#wanted += 1
    // Of what was wanted before; whether this can be had is still to be seen.
    this.#lastError = undefined
    const version = this.#wanted
    this.#reconciler.trigger()
    return this.#changed.until(() => {
      if (this.#written >= version) return true
      this.#throwIfHopeless(version)
      if (this.#state === 'conflict') throw this.#conflict()
      return false
    })
  }

  #conflict(): EtcdRegisterError {
    const taken = this.#taken!
    const text = `This registration stays out of ${taken.key}, since ${holderOf(taken)} registered there after it.`
    return new EtcdRegisterError('ERR_CONFLICT', `${text} Give each an "id" of its own.`)
  }

  #throwIfHopeless(version = 1): void {
    if (this.#closing.signal.aborted) {
      throw new EtcdRegisterError('ERR_CLOSED', `The registration of "${this.instance.name}" is closed.`)
    }
    const last = this.#lastError
    if (last !== undefined && last.of >= version && !last.error.retryable) throw last.error
  }

  /** One line for each kind of failure until a write succeeds; that etcd is away, the connection says. */
  #complain(error: EtcdRegisterError, of?: number): void {
    const { code, message } = error
    this.#failed(error, of)
    if (error.retryable || AWAY.has(code)) return
    const fields = { ...errorFields(error), service: this.instance.name }
    const line = { fields, message: `${message} Retrying.` }
    if (code === 'ERR_NO_ADDRESS') this.#deps.unaddressed.begins(this, code, line)
    else this.#refused.begins(code, line)
    this.#sessions.settled()
  }

  async #findAddress(): Promise<void> {
    this.#tried = this.#wanted
    const address = await this.#deps.address()
    const { host, rule } = address
    const message = `there is an address to advertise now: ${host} (${rule})`
    this.#deps.unaddressed.ends(this, () => ({ fields: { host, rule }, message }))
    this.#record.host = host
    this.#closing.signal.throwIfAborted()
    this.#deps.claim(this, this.#record.keys())
    this.#rule = address.rule
    this.#warnOfLocal(address)
  }

  /** Now that etcd answers: where it fails there is no address, which may be found after the next reconnect. */
  async #checkAddress(): Promise<void> {
    if (!this.#canMove) return
    this.#looking ??= this.#deps.address().catch(() => undefined)
    const address = await this.#looking
    this.#looking = undefined
    if (address === undefined || address.host === this.#record.host || this.#closing.signal.aborted) return
    await this.#move(address).catch(error => this.#complain(error as EtcdRegisterError))
  }

  get #canMove(): boolean {
    return this.#rule !== undefined && MOVING_RULES.has(this.#rule)
  }

  async #move(address: Address): Promise<void> {
    const { instance } = this
    const previous = instance.host
    this.#record.host = address.host
    try {
      this.#deps.claim(this, this.#record.keys())
    } catch (error) {
      this.#record.host = previous
      throw error
    }
    if (this.#closing.signal.aborted) return
    this.#rule = address.rule
    this.#movedFrom ??= instance
    const { logger } = this.#deps
    const text = `the address of this machine changed from ${previous} to ${address.host} (${address.rule}); registering "${instance.name}" there`
    logger.warn({ service: instance.name, previous, host: address.host, rule: address.rule }, text)
    this.#warnOfLocal(address)
    this.#wanted += 1
    this.#reconciler.trigger()
  }

  #warnOfLocal({ host, local = false }: Address): void {
    if (!local) return
    const text = `advertising ${host}, which only this machine can reach; listen on 0.0.0.0, or set the option "host" or SERVICE_HOST`
    this.#deps.logger.warn({ host, service: this.instance.name }, text)
  }

  /** Everything that is wanted, and nothing that is not. */
  async #publish({ id }: HeldLease): Promise<void> {
    const version = this.#wanted
    this.#tried = version
    const { status } = this.#record
    try {
      await this.#keys.settle()
      const puts = this.#record.entries(id)
      const conflict = await this.#keys.write(puts, id, found => this.#takesOver(found))
      if (conflict !== undefined) {
        this.#yield(conflict)
        // In conflict over one key, we are out under all.
        return await this.#keys.withdraw()
      }
    } catch (error) {
      if ((error as EtcdRegisterError).code !== 'ERR_ETCD_LEASE_NOT_FOUND') {
        this.#loseDeleted()
        throw error
      }
      // Whether it is lost now or was before, the next one is looked at.
      return this.#sessions.invalidate(id)
    }
    this.#loseDeleted()
    this.#lastError = undefined
    this.#written = version
    // A lease that was lost while etcd answered is no registration; the next one is.
    if (this.#sessions.current?.id === id) {
      this.#transit(status === 'suspended' ? 'suspended' : 'registered')
      this.#tellOfSuccess()
    }
    this.#changed.notify()
    const previous = this.#movedFrom
    this.#movedFrom = undefined
    if (previous !== undefined && previous.host !== this.instance.host)
      this.emitSafely('moved', this.instance, previous)
  }

  #tellOfSuccess(): void {
    const { name: service, id } = this.instance
    this.#refused.ends(() => ({ fields: { service, id }, message: `registered: ${service} ${id}` }))
    this.#sessions.settled(`${service} ${id}`)
  }

  /** The newer process wins: of what is older than we, all but what made us stay out. */
  #takesOver({ key, lease }: KeyValue): boolean {
    if (this.#state === 'conflict') return false
    this.#deps.logger.info(
      { key, lease },
      `${key} was there, of ${isOfThisProcess(lease) ? 'another registry of this process' : 'another process or an earlier run'}; taking it over`,
    )
    return true
  }

  #repair(found: KeyValue | undefined): void {
    const { current } = this.#sessions
    if (found !== undefined && found.lease === current?.id && this.#record.has(found)) return
    // Whoever revokes the lease deletes the key too; the write says which of the two it was.
    if (found === undefined) this.#deleted = true
    else this.#lose('key-overwritten')
    this.#reconciler.trigger()
  }

  /** The connection and the watch stream warn of errors that may pass by themselves. */
  #watchFailed(key: string, error: EtcdRegisterError): void {
    if (error.retryable || AWAY.has(error.code)) return
    this.#unwatched.add(key)
    const { name: service, id } = this.instance
    const message = `${error.message} Until they are watched again, the keys of ${service} ${id} are not repaired if others delete or overwrite them. Retrying.`
    // Nobody gets a permission without help. Other refusals pass: of a token, for one, while users change.
    const after = error.code === 'ERR_ETCD_PERMISSION' ? 0 : LASTING
    this.#unguarded.begins(error.code, { fields: { ...errorFields(error), service, id }, message }, after)
  }

  #watchWorks(key: string): void {
    if (!this.#unwatched.delete(key) || this.#unwatched.size > 0) return
    const { name: service, id } = this.instance
    this.#unguarded.ends(() => ({
      fields: { service, id },
      message: `the keys of ${service} ${id} are watched again`,
    }))
  }

  #loseDeleted(): void {
    if (this.#deleted) this.#lose('key-deleted')
  }

  #lose(reason: LossReason): void {
    this.#deleted = false
    this.#transit('lost', reason)
    this.#reconciler.trigger()
  }

  #yield(by: Taken): void {
    const { key } = by
    this.#taken = by
    this.#sessions.settled()
    if (!this.#transit('conflict')) return
    const message = `${holderOf(by)} registered under ${key}; this one stays out until it is gone`
    const error = this.#conflict()
    this.#lastError = { error, at: this.#deps.clock.date(), of: this.#wanted }
    this.#refused.begins('taken', { fields: { ...errorFields(error), key }, message })
    this.emitSafely('conflict', key)
    this.#changed.notify()
    this.#reconciler.trigger()
  }

  #leave(): Promise<void> {
    const wasUp = this.#state === 'registered'
    this.#closing.abort()
    this.#refused.close()
    this.#unguarded.close()
    this.#deps.unaddressed.ends(this)
    this.#deps.unclaim(this)
    this.#sessions.leave()
    this.#keys.close()
    const announced = this.#reconciler.done.then(() => (wasUp ? this.#announce() : undefined))
    return announced.catch(() => {}).then(() => this.#revoke())
  }

  #revoke(): Promise<void> {
    this.#revoked ??= this.#sessions.end().then(
      () => this.#isDeleted(),
      (error: EtcdRegisterError) => this.#stay(error.message, error),
    )
    return this.#revoked
  }

  /** That etcd does not answer is told by whoever waits; for what etcd refuses, nobody has to. */
  #revocationFailed(error: EtcdRegisterError): void {
    if (AWAY.has(error.code)) return
    this.#stay(`${error.message} Retrying.`, error)
    if (!error.retryable) this.#giveUp()
  }

  /** Of the keys. */
  #isDeleted(): void {
    const { name: service, id } = this.instance
    this.#staying.ends(() => ({
      fields: { service, id },
      message: `the keys of ${service} ${id} are deleted`,
    }))
  }

  #close(): void {
    if (!this.#transit('closed')) return
    this.emitSafely('closed')
    this.#changed.notify()
    this.#deps.closed(this)
  }

  /** Others see the keys, although the instance has left. That etcd did not answer is one reason, a refusal another. */
  #stay(why: string, error?: EtcdRegisterError): void {
    if (this.#keys.names.length === 0) return
    const { name: service, id } = this.instance
    const late = error === undefined || AWAY.has(error.code) || error.code === 'ERR_CLOSED'
    const kind = late ? 'late' : error.code
    const message = `${why} ${service} ${id} has left, but its keys stay until they are deleted or their lease ends.`
    this.#staying.begins(kind, { fields: { ...(error && errorFields(error)), service, id }, message })
  }

  async #announce(): Promise<void> {
    const { current } = this.#sessions
    if (current === undefined) return
    this.#record.status = 'leaving'
    const puts = this.#record.entries(current.id)
    if (puts.length > 0) await this.#keys.announce(puts, current.id)
  }

  #transit(state: RegistrationState, reason?: LossReason): boolean {
    const previous = this.#state
    if (!TRANSITIONS[previous].includes(state)) return false
    this.#state = state
    this.#since = this.#deps.clock.date()
    const { name: service, id, endpoints } = this.instance
    this.#deps.logger.info({ service, id, endpoints, state, previous, reason }, `${service} ${id}: ${state}`)
    this.emitSafely('state', state, previous)
    if (state === 'registered') this.emitSafely('registered', this.instance)
    if (state === 'lost' && reason !== undefined) this.emitSafely('lost', reason)
    return true
  }
}

function holderOf({ lease }: Taken): string {
  return isOfThisProcess(lease) ? 'another registry of this process' : 'another process'
}
