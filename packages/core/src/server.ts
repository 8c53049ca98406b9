import cluster from 'node:cluster'
import type { AddressInfo, Server } from 'node:net'
import { Server as TlsServer } from 'node:tls'
import { beforeClose } from './close-hook.ts'
import { type Connections, trackConnections } from './connections.ts'
import { invalidOption } from './errors.ts'
import { checkNames, milliseconds, SERVICE_OPTIONS } from './options.ts'
import type { EtcdRegistry } from './registry.ts'
import { defaultServiceName } from './service-name.ts'
import { leaveOnSignals } from './shutdown.ts'
import type { Logger, Registration, Registry, ServiceOptions } from './types.ts'

export interface ServerOptions extends Partial<ServiceOptions> {
  /**
   * Milliseconds to go on serving after the instance left the roll, default 1000, or half of a `shutdownTimeout` below
   * 2000; 0 in tests.
   */
  drainDelay?: number
  /** Bound of the whole shutdown in ms, default 10000 or 9000 more than `drainDelay`; what is open then is cut. */
  shutdownTimeout?: number
  /** Leave on SIGTERM and SIGINT, default true. */
  signals?: boolean
}

/**
 * `serving`: on the roll. `leaving`: going off it. `draining`: off it, and answering those who have not heard of it yet,
 * until somebody closes the server. `closing`: finishing what is in flight. `off`: not listening, or not to be registered.
 */
export type ServerState = 'off' | 'serving' | 'leaving' | 'draining' | 'closing'

/** What binds a server to a registry. */
export interface ServerRegistration {
  /** `undefined` until the server listens. */
  readonly registration: Registration | undefined
  /** For a readiness check: requests are welcome while it is `serving`, whatever becomes of etcd. */
  readonly state: ServerState
  /** Leaves the roll and lets go of the server and the signals; the server goes on. */
  close(): Promise<void>
  /** Leaves the roll and resolves after `drainDelay`; the server goes on until somebody closes it. */
  leave(): Promise<void>
  /** Leaves the roll, closes the server and waits for what is in flight; bounded by `shutdownTimeout`. */
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
  service: Partial<ServiceOptions> & { name: string }
  drainDelay: number
  shutdownTimeout: number
  signals: boolean
}

/** Throws `ERR_INVALID_OPTION`, so that nothing is left to throw when the server listens. */
export function resolveServerOptions(options: ServerOptions, registry: Registry): ResolvedServerOptions {
  checkNames('server options', options, SERVER_OPTIONS)
  if (typeof registry?.register !== 'function') throw invalidOption('registry', 'a registry', registry)
  const {
    drainDelay,
    shutdownTimeout = Math.max(10_000, (drainDelay ?? 0) + 9000),
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
    drainDelay: drainDelay ?? Math.min(1000, Math.floor(shutdownTimeout / 2)),
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
  readonly #connections: Connections
  readonly #detach: () => void
  #state: ServerState = 'off'
  /** Since the last `listening`; there can be one after we saw that the server listens. */
  #listening = false
  #registration: Registration | undefined
  #left: Promise<void> | undefined
  /** Runs from the moment that somebody closes the server. */
  #bound: NodeJS.Timeout | undefined

  constructor(server: Server, registry: Registry, options: ServerOptions) {
    if (typeof server?.on !== 'function' || typeof server.address !== 'function') {
      throw invalidOption('server', 'an http, https or http2 server', server)
    }
    this.#options = resolveServerOptions(options, registry)
    this.#server = server
    this.#registry = registry
    this.#connections = trackConnections(server)
    const listening = () => this.#listen()
    const closed = () => this.#end()
    server.on('listening', listening).on('close', closed)
    const forgetClose = beforeClose(server, {
      leave: () => {
        this.#bound ??= setTimeout(() => this.#connections.cut(), this.#options.shutdownTimeout)
        return this.leave()
      },
      closing: () => {
        if (this.#state !== 'off') this.#state = 'closing'
        this.#connections.closeAsIdle()
      },
    })
    const forgetSignals = this.#options.signals
      ? leaveOnSignals({ leave: () => this.leave(), shutdown: () => this.shutdown() })
      : () => {}
    this.#detach = () => {
      forgetSignals()
      forgetClose()
      server.off('listening', listening)
      // What is closing meanwhile still ends in order.
      if (this.#bound !== undefined) return
      server.off('close', closed)
      this.#connections.forget()
    }
    if (server.listening) listening()
  }

  get registration(): Registration | undefined {
    return this.#registration
  }

  get state(): ServerState {
    return this.#state
  }

  async close(): Promise<void> {
    this.#detach()
    await this.#registration?.deregister()
  }

  async shutdown(): Promise<void> {
    if (this.#server.listening && this.#bound === undefined) this.#server.close()
    await this.leave()
    if (this.#bound !== undefined) await this.#connections.settled()
  }

  #listen(): void {
    if (this.#listening && this.#state !== 'closing') return
    this.#listening = true
    this.#end()
    try {
      this.#register()
    } catch (err) {
      const { name } = this.#options.service
      this.#logger?.error({ err, service: name }, 'a server listens that cannot be registered')
    }
  }

  #register(): void {
    const server = this.#server
    const address = server.address() as AddressInfo | string | null
    if (address === null || typeof address === 'string') {
      const text = `a server on the unix socket ${address} cannot be registered: others could not reach it`
      this.#logger?.warn({ address }, text)
      return
    }
    const { port = address.port, protocol = server instanceof TlsServer ? 'https' : undefined } =
      this.#options.service
    const service = { ...this.#options.service, port, ...(protocol !== undefined && { protocol }) }
    this.#registration = (this.#registry as EtcdRegistry).register(service, {
      bound: address.address,
      // The workers of a cluster share the address: the end of one must not take the others off the roll.
      idSuffix: cluster.isWorker ? `-w${cluster.worker!.id}` : '',
    })
    this.#left = undefined
    this.#state = 'serving'
  }

  /** With the server, or before it listens anew. */
  #end(): void {
    clearTimeout(this.#bound)
    this.#bound = undefined
    this.#state = 'off'
    this.#listening = this.#server.listening
    this.#connections.ended()
    void this.#registration?.deregister()
  }

  /** Of our registries; another implementation need not have one. */
  get #logger(): Logger | undefined {
    return (this.#registry as Partial<EtcdRegistry>).logger
  }

  leave(): Promise<void> {
    this.#left ??= this.#state === 'serving' ? this.#leaveNow(this.#registration!) : undefined
    return this.#left ?? Promise.resolve()
  }

  async #leaveNow(registration: Registration): Promise<void> {
    const { drainDelay, shutdownTimeout } = this.#options
    const known = registration.state === 'registered' || registration.state === 'suspended'
    this.#state = 'leaving'
    this.#connections.sendElsewhere()
    await registration.deregister({ timeout: Math.min(3000, shutdownTimeout - drainDelay) })
    if (this.#state === 'leaving') this.#state = 'draining'
    if (known && drainDelay > 0) await new Promise(resolve => setTimeout(resolve, drainDelay))
  }
}
