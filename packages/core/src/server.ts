import type { IncomingMessage, ServerResponse } from 'node:http'
import type { AddressInfo, Server, Socket } from 'node:net'
import { Server as TlsServer } from 'node:tls'
import { invalidOption } from './errors.ts'
import { milliseconds } from './options.ts'
import type { EtcdRegistry } from './registry.ts'
import { defaultServiceName } from './service-name.ts'
import { leaveOnSignals } from './shutdown.ts'
import type { Logger, Registration, Registry, ServiceOptions } from './types.ts'

export interface ServerOptions extends Partial<ServiceOptions> {
  /** Milliseconds to go on serving after the instance left the roll, default 1000; 0 in tests. */
  drainDelay?: number
  /** Bound of the whole shutdown in ms, default 10000; what is open then is cut. */
  shutdownTimeout?: number
  /** Leave on SIGTERM and SIGINT, default true. */
  signals?: boolean
}

/** What binds a server to a registry. */
export interface ServerRegistration {
  /** `undefined` until the server listens. */
  readonly registration: Registration | undefined
  /** Leaves the roll and lets go of the server and the signals; the server goes on. */
  close(): Promise<void>
  /** Leaves the roll, closes the server and waits for what is in flight; bounded by `shutdownTimeout`. */
  shutdown(): Promise<void>
}

/** `http`, `https` and `http2` servers; some of them cannot close connections. */
type AnyServer = Server & { closeIdleConnections?(): void; closeAllConnections?(): void }

/** Between two looks for connections that fell idle, in ms: an idle keep-alive connection holds a closing server for seconds. */
const IDLE_POLL = 50

/** What of it is decided before any server listens. */
interface ResolvedServerOptions {
  service: Partial<ServiceOptions> & { name: string }
  drainDelay: number
  shutdownTimeout: number
  signals: boolean
}

/** Throws `ERR_INVALID_OPTION`, so that nothing is left to throw when the server listens. */
export function resolveServerOptions(options: ServerOptions, registry: Registry): ResolvedServerOptions {
  const { drainDelay = 1000, shutdownTimeout = 10_000, signals = true, ...given } = options
  const service = { ...given, name: given.name ?? defaultServiceName() }
  ;(registry as Partial<EtcdRegistry>).check?.({ ...service, port: service.port ?? 1 })
  return {
    service,
    drainDelay: milliseconds('drainDelay', drainDelay),
    shutdownTimeout: milliseconds('shutdownTimeout', shutdownTimeout),
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
  readonly #server: AnyServer
  readonly #registry: Registry
  readonly #service: ResolvedServerOptions['service']
  readonly #drainDelay: number
  readonly #shutdownTimeout: number
  readonly #detach: () => void
  /** Such as WebSockets: no longer the server's to close, and they do not end by themselves. */
  readonly #upgraded = new Set<Socket>()
  #registration: Registration | undefined
  #leaving: Promise<void> | undefined

  constructor(server: AnyServer, registry: Registry, options: ServerOptions) {
    if (typeof server?.on !== 'function' || typeof server.address !== 'function') {
      throw invalidOption('server', 'an http, https or http2 server', server)
    }
    const { service, drainDelay, shutdownTimeout, signals } = resolveServerOptions(options, registry)
    this.#service = service
    this.#drainDelay = drainDelay
    this.#shutdownTimeout = shutdownTimeout
    this.#server = server
    this.#registry = registry
    const listening = () => {
      try {
        this.#register()
      } catch (err) {
        this.#logger?.error({ err, service: service.name }, 'a server listens that cannot be registered')
      }
    }
    const closed = () => void this.#registration?.deregister()
    const close = server.close
    server.close = callback => {
      if (server.listening) void this.#closeServer(() => close.call(server, callback))
      else close.call(server, callback)
      return server
    }
    server.on('listening', listening).on('close', closed)
    const forgetSignals = signals
      ? leaveOnSignals({ leave: () => this.#leave(), shutdown: () => this.shutdown() })
      : () => {}
    this.#detach = () => {
      forgetSignals()
      server.close = close
      server.off('listening', listening).off('close', closed).off('upgrade', this.#upgrade)
    }
    if (server.listening) listening()
  }

  get registration(): Registration | undefined {
    return this.#registration
  }

  async close(): Promise<void> {
    this.#detach()
    await this.#registration?.deregister()
  }

  /** `listening` can come after we saw the server listen; one registration for each time that it does. */
  #register(): void {
    if (this.#registration !== undefined && this.#leaving === undefined) return
    const address = this.#server.address() as AddressInfo | string | null
    if (address === null || typeof address === 'string') {
      const text = `a server on the unix socket ${address} cannot be registered: others could not reach it`
      this.#logger?.warn({ address }, text)
      return
    }
    const { port = address.port, protocol = this.#server instanceof TlsServer ? 'https' : 'http' } =
      this.#service
    const service = { ...this.#service, port, protocol }
    this.#leaving = undefined
    this.#registration = (this.#registry as EtcdRegistry).register(service, { bound: address.address })
    // Where the app does not take upgrades, a listener of ours would make Node believe that it does.
    const upgrades = this.#server.listeners('upgrade')
    if (upgrades.length > 0 && !upgrades.includes(this.#upgrade)) this.#server.on('upgrade', this.#upgrade)
  }

  readonly #upgrade = (_: IncomingMessage, socket: Socket): void => {
    this.#upgraded.add(socket)
    socket.once('close', () => this.#upgraded.delete(socket))
  }

  /** Of our registries; another implementation need not have one. */
  get #logger(): Logger | undefined {
    return (this.#registry as Partial<EtcdRegistry>).logger
  }

  /** Off the roll first, then serving on until everybody has heard of it. */
  #leave(): Promise<void> {
    this.#leaving ??= this.#leaveNow()
    return this.#leaving
  }

  async #leaveNow(): Promise<void> {
    const registration = this.#registration
    if (registration === undefined) return
    const known = registration.state === 'registered' || registration.state === 'suspended'
    const goodbye = ({ httpVersionMajor }: IncomingMessage, response: ServerResponse) => {
      if (httpVersionMajor === 1 && !response.headersSent) response.setHeader('Connection', 'close')
    }
    this.#server.prependListener('request', goodbye)
    this.#server.once('close', () => this.#server.off('request', goodbye))
    await registration.deregister({ timeout: Math.min(3000, this.#shutdownTimeout) })
    if (known && this.#drainDelay > 0) await new Promise(resolve => setTimeout(resolve, this.#drainDelay))
  }

  async #closeServer(close: () => void): Promise<void> {
    await this.#leave()
    close()
    const poll = setInterval(() => this.#server.closeIdleConnections?.(), IDLE_POLL)
    this.#server.once('close', () => clearInterval(poll))
    this.#server.closeIdleConnections?.()
  }

  shutdown(): Promise<void> {
    return new Promise(resolve => {
      const server = this.#server
      if (!server.listening) return void this.#leave().then(resolve)
      const done = () => {
        clearTimeout(timer)
        clearInterval(poll)
        resolve()
      }
      const timer = setTimeout(() => {
        server.closeAllConnections?.()
        done()
      }, this.#shutdownTimeout)
      const poll = setInterval(() => {
        if (server.listening || this.#upgraded.size === 0) return
        server.getConnections((_, open) => open <= this.#upgraded.size && done())
      }, IDLE_POLL)
      server.once('close', done)
      server.close()
    })
  }
}
