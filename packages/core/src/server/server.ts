import cluster from 'node:cluster'
import type { AddressInfo, Server } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { Server as TlsServer } from 'node:tls'
import { milliseconds } from '../etcd/options/options.ts'
import { sleep, systemClock } from '../etcd/support/clock.ts'
import { invalidOption } from '../etcd/support/errors.ts'
import { inspectAs } from '../etcd/support/inspect.ts'
import type { Logger } from '../etcd/support/logger.ts'
import { guardedLogger, resolveLogger } from '../etcd/support/logger.ts'
import { checkNames } from '../etcd/support/option-names.ts'
import { quoted, shown } from '../etcd/support/text.ts'
import { WarnOnce } from '../etcd/support/warn-once.ts'
import type { ServiceOptions } from '../instance/service-options.ts'
import { SERVICE_OPTIONS } from '../instance/service-options.ts'
import type { Registration, RegistrationStatus } from '../registration/registration.ts'
import type { Registry } from '../registry/registry.ts'
import { DRAIN_DELAY, type EtcdRegistry } from '../registry/registry.ts'
import { beforeClose } from './close-hook.ts'
import { type ConnectionDrainer, type Destroyed, drainConnections } from './connection-drainer.ts'
import { defaultServiceName } from './service-name.ts'
import { type Leave, leaveOnSignals } from './shutdown.ts'

export interface ServerOptions extends Omit<ServiceOptions, 'name' | 'port'> {
  /** Default: `SERVICE_NAME`, else the name in the nearest package.json. */
  name?: string | undefined
  /** Default: the one that the server listens on. */
  port?: number | undefined
  /**
   * Milliseconds to go on serving after the instance was deregistered; 0 for development and tests. Default: 1000, or the
   * most that a format of the registry asks for (Traefik 3000, Kitex 6000), but at most half of a `shutdownTimeout` that
   * is given. After Ctrl-C at a terminal there is none.
   */
  drainDelay?: number | undefined
  /** Bound of the whole shutdown in ms, default 10000 or 9000 more than `drainDelay`; what is open then is cut. */
  shutdownTimeout?: number | undefined
  /** Leave on SIGTERM and SIGINT, default true. */
  signals?: boolean | undefined
}

/**
 * `serving`: registered. `leaving`: deregistering. `draining`: deregistered, and answering those who have not heard of it yet,
 * until somebody closes the server. `closing`: finishing what is in flight. `off`: not listening, or not to be registered.
 */
export type ServerState = 'off' | 'serving' | 'leaving' | 'draining' | 'closing'

/** What binds a server to a registry. */
export interface ServerRegistration {
  /** `undefined` until the server listens. */
  readonly registration: Registration | undefined
  /**
   * For a readiness check: true while the server listens and does not leave, whatever becomes of etcd, and also where it is
   * not to be registered.
   */
  readonly ready: boolean
  readonly state: ServerState
  /** Deregisters and lets go of the server and the signals; the server goes on. */
  close(): Promise<void>
  /** Deregisters and resolves after `drainDelay`; the server goes on until somebody closes it. */
  leave(): Promise<void>
  /** Deregisters, closes the server and waits for what is in flight; bounded by `shutdownTimeout`. */
  shutdown(): Promise<void>
}

export const SERVER_OPTIONS: readonly string[] = [
  ...SERVICE_OPTIONS,
  'drainDelay',
  'shutdownTimeout',
  'signals',
]

/** What of it is decided before any server listens. */
interface ResolvedServerOptions {
  service: Omit<ServiceOptions, 'port'> & { port?: number | undefined }
  drainDelay: number
  shutdownTimeout: number
  signals: boolean
}

/** Throws `ERR_INVALID_OPTION`, so that nothing is left to throw when the server listens. */
export function resolveServerOptions(options: ServerOptions, registry: Registry): ResolvedServerOptions {
  checkNames('server options', options, SERVER_OPTIONS)
  if (typeof registry?.register !== 'function') throw invalidOption('registry', 'a registry', registry)
  const { drainDelay: asked = DRAIN_DELAY } = registry as Partial<EtcdRegistry>
  const {
    drainDelay,
    shutdownTimeout = Math.max(10_000, (drainDelay ?? asked) + 9000),
    signals = true,
    ...given
  } = options
  const service = { ...given, name: given.name ?? defaultServiceName() }
  ;(registry as Partial<EtcdRegistry>).check?.({ ...service, port: service.port ?? 1 })
  if (drainDelay !== undefined) milliseconds('drainDelay', drainDelay, 0, 300_000)
  milliseconds('shutdownTimeout', shutdownTimeout)
  if (typeof signals !== 'boolean') throw invalidOption('signals', 'true or false', signals)
  if (drainDelay !== undefined && drainDelay > 0 && drainDelay >= shutdownTimeout) {
    const rule = `less than shutdownTimeout (${shutdownTimeout}), which bounds the whole shutdown`
    throw invalidOption('drainDelay', rule, drainDelay)
  }
  return {
    service,
    drainDelay: drainDelay ?? Math.min(asked, Math.floor(shutdownTimeout / 2)),
    shutdownTimeout,
    signals,
  }
}

/**
 * Registers the server whenever it listens, with the port it really got, and leaves before it closes: on
 * `server.close()`, SIGTERM and SIGINT. Throws `ERR_INVALID_OPTION`.
 */
export function attachServer(
  server: Server,
  registry: Registry,
  options: ServerOptions = {},
): ServerRegistration {
  return new AttachedServer(server, registry, options)
}

class AttachedServer implements ServerRegistration {
  readonly #server: Server
  readonly #registry: Registry
  readonly #options: ResolvedServerOptions
  readonly #connections: ConnectionDrainer
  readonly #logger: Logger
  readonly #unregistered: WarnOnce
  readonly #detach: () => void
  #state: ServerState = 'off'
  /** Since the last `listening`; there can be one after we saw that the server listens. */
  #listening = false
  #registration: Registration | undefined
  /** Since it listens: whether it leaves, or was let go of. */
  #leaves = false
  #deregistered: Promise<void> | undefined
  #left: Promise<void> | undefined
  /** Aborted where nobody is to be waited for. */
  #drain = new AbortController()
  /** When the server was told to close. */
  #closingSince: number | undefined
  /** Runs from the moment that somebody closes the server. */
  #bound: NodeJS.Timeout | undefined

  constructor(server: Server, registry: Registry, options: ServerOptions) {
    if (typeof server?.on !== 'function' || typeof server.address !== 'function') {
      throw invalidOption('server', 'an http, https or http2 server', server)
    }
    this.#options = resolveServerOptions(options, registry)
    this.#server = server
    this.#registry = registry
    // Another implementation of a registry need not have one.
    this.#logger = guardedLogger((registry as Partial<EtcdRegistry>).logger ?? resolveLogger(undefined))
    this.#unregistered = new WarnOnce(systemClock, this.#logger)
    this.#connections = drainConnections(server)
    const listening = () => this.#listen()
    const closed = () => this.#end()
    server.on('listening', listening).on('close', closed)
    const forgetClose = beforeClose(server, {
      leave: () => {
        this.#closingSince ??= performance.now()
        this.#bound ??= setTimeout(
          () => this.#connections.destroyAll(cut => this.#warnOfCut(cut)),
          this.#options.shutdownTimeout,
        )
        return this.leave()
      },
      closing: () => {
        if (this.#state !== 'off') this.#state = 'closing'
        this.#connections.closeAsIdle()
        this.#tellOfClosing()
      },
      unsent: () => this.#connections.unsent(),
    })
    const forgetSignals = this.#options.signals
      ? leaveOnSignals({ leave: how => this.leave(how), shutdown: how => this.shutdown(how) })
      : () => {}
    const forget = () => {
      forgetClose()
      server.off('close', closed)
      this.#connections.forget()
    }
    this.#detach = () => {
      forgetSignals()
      server.off('listening', listening)
      // What is closing meanwhile still ends in order.
      if (this.#bound === undefined) forget()
      else server.once('close', forget)
    }
    if (server.listening) listening()
  }

  get registration(): Registration | undefined {
    return this.#registration
  }

  get ready(): boolean {
    return this.#server.listening && !this.#leaves
  }

  get state(): ServerState {
    return this.#state
  }

  toJSON(): object {
    return { state: this.state, registration: this.registration }
  }

  static {
    inspectAs('ServerRegistration', AttachedServer.prototype)
  }

  async close(): Promise<void> {
    this.#leaves = true
    this.#detach()
    await this.#deregister()
  }

  async shutdown(how?: Leave): Promise<void> {
    const left = this.leave(how)
    if (this.#server.listening && this.#bound === undefined) this.#server.close()
    await left
    if (this.#bound !== undefined) await this.#connections.drained()
  }

  #listen(): void {
    if (this.#listening && this.#state !== 'closing') return
    this.#listening = true
    this.#end()
    try {
      this.#register()
    } catch (err) {
      this.#warnOfUnregistered({ err }, 'a server listens that cannot be registered')
    }
  }

  #register(): void {
    const server = this.#server
    const address = server.address() as AddressInfo | string | null
    if (address === null || typeof address === 'string') {
      const text = `a server on the unix socket ${quoted(address ?? '')} cannot be registered: others could not reach it`
      this.#warnOfUnregistered({ address: shown(address ?? '') }, text)
      return
    }
    const { port = address.port, protocol = server instanceof TlsServer ? 'https' : undefined } =
      this.#options.service
    const service = { ...this.#options.service, port, ...(protocol !== undefined && { protocol }) }
    this.#registration = (this.#registry as EtcdRegistry).register(service, {
      bound: address.address,
      // The workers of a cluster share the address: the end of one must not deregister the others.
      idSuffix: cluster.isWorker ? `-w${cluster.worker!.id}` : '',
    })
    this.#deregistered = undefined
    this.#left = undefined
    this.#drain = new AbortController()
    this.#state = 'serving'
    const { name } = this.#options.service
    const message = `a server listens now that can be registered as "${name}"`
    this.#unregistered.ends(() => ({ fields: { service: name }, message }))
  }

  /** With the server, or before it listens anew. */
  #end(): void {
    clearTimeout(this.#bound)
    this.#bound = undefined
    this.#tellOfEnd()
    this.#leaves = false
    this.#state = 'off'
    this.#listening = this.#server.listening
    this.#connections.ended()
    void this.#deregister()
  }

  /** Once. Never rejects, and is bounded: the end of the app must not depend on another implementation of a registry. */
  #deregister(timeout = 3000): Promise<void> {
    this.#deregistered ??= this.#deregisterNow(timeout)
    return this.#deregistered
  }

  async #deregisterNow(timeout: number): Promise<void> {
    const { name: service } = this.#options.service
    const warn = (fields: object, message: string) => this.#logger.warn({ ...fields, service }, message)
    const bound = new AbortController()
    const deregister = async () => this.#registration?.deregister({ timeout })
    const late = async () => {
      await sleep(systemClock, timeout, bound.signal)
      if (!bound.signal.aborted) warn({ timeout }, `"${service}" was not deregistered within ${timeout} ms`)
    }
    try {
      await Promise.race([deregister(), late()])
    } catch (err) {
      warn({ err }, `"${service}" could not be deregistered`)
    } finally {
      bound.abort()
    }
  }

  #tellOfClosing(): void {
    const { name: service } = this.#options.service
    const requests = this.#connections.requests()
    const text = `"${service}" takes no more connections; waiting for ${counted(requests, 'request')}`
    this.#logger.info({ service, requests }, text)
  }

  #tellOfEnd(): void {
    if (this.#closingSince === undefined) return
    const { name: service } = this.#options.service
    const ms = Math.round(performance.now() - this.#closingSince)
    this.#closingSince = undefined
    this.#logger.info({ service, ms }, `the shutdown of "${service}" is done, after ${ms} ms`)
  }

  #warnOfCut({ connections, requests }: Destroyed): void {
    const { service, shutdownTimeout } = this.#options
    const cut = `cut ${counted(connections, 'connection')} of "${service.name}"`
    const text = `${cut} after shutdownTimeout (${shutdownTimeout} ms), with ${counted(requests, 'request')} under way`
    this.#logger.warn({ service: service.name, shutdownTimeout, connections, requests }, text)
  }

  #warnOfUnregistered(more: object, message: string): void {
    const { name } = this.#options.service
    this.#unregistered.begins(message, { fields: { ...more, service: name }, message })
  }

  leave({ drain }: Leave = { drain: true }): Promise<void> {
    this.#leaves = true
    if (!drain) this.#drain.abort()
    this.#left ??= this.#state === 'serving' ? this.#leaveNow(this.#registration) : undefined
    return this.#left ?? Promise.resolve()
  }

  async #leaveNow(registration: Registration | undefined): Promise<void> {
    const { drainDelay, shutdownTimeout, service } = this.#options
    const { signal } = this.#drain
    const drains = registration !== undefined && mayBeSeen(registration)
    this.#state = 'leaving'
    this.#connections.sendElsewhere()
    await this.#deregister(Math.min(3000, shutdownTimeout - drainDelay))
    if (this.#state === 'leaving') this.#state = 'draining'
    if (!drains || drainDelay === 0 || signal.aborted) return
    const text = `"${service.name}" is deregistered; draining for ${drainDelay} ms`
    this.#logger.info({ service: service.name, drainDelay }, text)
    await pause(drainDelay, undefined, { signal }).catch(() => {})
  }
}

/**
 * Whether clients may have it in their tables: they see a write before its answer is here, and hear of a loss late. Another
 * implementation of a registry need not say what it wrote.
 */
function mayBeSeen(registration: Registration & { status?: unknown }): boolean {
  if (registration.state === 'conflict') return false
  const status: unknown = typeof registration.status === 'function' ? registration.status() : undefined
  const { keys } = Object(status) as Partial<RegistrationStatus>
  return keys?.length !== 0
}

function counted(number: number, what: string): string {
  return `${number} ${what}${number === 1 ? '' : 's'}`
}
