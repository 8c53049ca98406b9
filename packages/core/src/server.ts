import cluster from 'node:cluster'
import type { AddressInfo, Server } from 'node:net'
import { Server as TlsServer } from 'node:tls'
import { type Connections, trackConnections } from './connections.ts'
import { invalidOption } from './errors.ts'
import { milliseconds } from './options.ts'
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

/** What of it is decided before any server listens. */
interface ResolvedServerOptions {
  service: Partial<ServiceOptions> & { name: string }
  drainDelay: number
  shutdownTimeout: number
  signals: boolean
}

/** Throws `ERR_INVALID_OPTION`, so that nothing is left to throw when the server listens. */
export function resolveServerOptions(options: ServerOptions, registry: Registry): ResolvedServerOptions {
  const {
    drainDelay,
    shutdownTimeout = Math.max(10_000, (drainDelay ?? 0) + 9000),
    signals = true,
    ...given
  } = options
  const service = { ...given, name: given.name ?? defaultServiceName() }
  ;(registry as Partial<EtcdRegistry>).check?.({ ...service, port: service.port ?? 1 })
  milliseconds('shutdownTimeout', shutdownTimeout)
  if (drainDelay !== undefined && drainDelay > 0 && drainDelay >= shutdownTimeout) {
    const rule = `less than shutdownTimeout (${shutdownTimeout}), which bounds the whole shutdown`
    throw invalidOption('drainDelay', rule, drainDelay)
  }
  return {
    service,
    drainDelay: milliseconds('drainDelay', drainDelay ?? Math.min(1000, Math.floor(shutdownTimeout / 2))),
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
  #registration: Registration | undefined
  #left: Promise<void> | undefined
  #closed: Promise<void> | undefined

  constructor(server: Server, registry: Registry, options: ServerOptions) {
    if (typeof server?.on !== 'function' || typeof server.address !== 'function') {
      throw invalidOption('server', 'an http, https or http2 server', server)
    }
    this.#options = resolveServerOptions(options, registry)
    this.#server = server
    this.#registry = registry
    const listening = () => {
      try {
        this.#register()
      } catch (err) {
        const { name } = this.#options.service
        this.#logger?.error({ err, service: name }, 'a server listens that cannot be registered')
      }
    }
    const closed = () => {
      this.#state = 'off'
      void this.#registration?.deregister()
    }
    const close = server.close
    server.close = callback => {
      const closeNow = () => void close.call(server, callback)
      if (server.listening) this.#closed = this.#close(closeNow)
      else closeNow()
      return server
    }
    server.on('listening', listening).on('close', closed)
    this.#connections = trackConnections(server)
    const forgetSignals = this.#options.signals
      ? leaveOnSignals({ leave: () => this.leave(), shutdown: () => this.shutdown() })
      : () => {}
    this.#detach = () => {
      forgetSignals()
      server.close = close
      server.off('listening', listening).off('close', closed)
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
    if (this.#closed === undefined && this.#server.listening) this.#server.close()
    await (this.#closed ?? this.leave())
  }

  /** `listening` can come after we saw the server listen; one registration for each time that it does. */
  #register(): void {
    if (this.#state !== 'off' && this.#state !== 'closing') return
    const server = this.#server
    const address = server.address() as AddressInfo | string | null
    this.#state = 'off'
    this.#left = undefined
    this.#closed = undefined
    if (address === null || typeof address === 'string') {
      const text = `a server on the unix socket ${address} cannot be registered: others could not reach it`
      this.#logger?.warn({ address }, text)
      return
    }
    const { port = address.port, protocol = server instanceof TlsServer ? 'https' : 'http' } =
      this.#options.service
    const service = { ...this.#options.service, port, protocol }
    this.#registration = (this.#registry as EtcdRegistry).register(service, {
      bound: address.address,
      // The workers of a cluster share the address: the end of one must not take the others off the roll.
      idSuffix: cluster.isWorker ? `-w${cluster.worker!.id}` : '',
    })
    this.#state = 'serving'
  }

  /** Of our registries; another implementation need not have one. */
  get #logger(): Logger | undefined {
    return (this.#registry as Partial<EtcdRegistry>).logger
  }

  leave(): Promise<void> {
    this.#left ??= this.#leaveNow()
    return this.#left
  }

  async #leaveNow(): Promise<void> {
    const registration = this.#registration
    if (this.#state !== 'serving' || registration === undefined) return
    const { drainDelay, shutdownTimeout } = this.#options
    const known = registration.state === 'registered' || registration.state === 'suspended'
    this.#state = 'leaving'
    this.#connections.sendElsewhere()
    await registration.deregister({ timeout: Math.min(3000, shutdownTimeout - drainDelay) })
    this.#state = 'draining'
    if (known && drainDelay > 0) await new Promise(resolve => setTimeout(resolve, drainDelay))
  }

  /** Resolves when no connection is left that the server has to end, at the latest after `shutdownTimeout`. */
  async #close(closeNow: () => void): Promise<void> {
    const { shutdownTimeout } = this.#options
    const timeUp = new Promise<void>(resolve => {
      const timer = setTimeout(() => {
        this.#connections.cut()
        resolve()
      }, shutdownTimeout)
      this.#server.once('close', () => clearTimeout(timer))
    })
    await this.leave()
    this.#state = 'closing'
    const settled = this.#connections.settled()
    closeNow()
    this.#connections.closeAsIdle()
    await Promise.race([settled, timeUp])
  }
}
