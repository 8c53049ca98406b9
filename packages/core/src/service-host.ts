import type { Server } from 'node:net'
import { invalidOption } from './errors.ts'
import { onListening } from './listening.ts'
import { checkNames, optionsNamed, REGISTRY_OPTIONS } from './options.ts'
import { createRegistry, type EtcdRegistry } from './registry.ts'
import {
  attachServer,
  resolveServerOptions,
  SERVER_OPTIONS,
  type ServerOptions,
  type ServerRegistration,
  type ServerState,
} from './server.ts'
import type { Registration, Registry, RegistryOptions } from './types.ts'

/**
 * What every adapter takes, all of it optional: with none, the name comes from `SERVICE_NAME` or package.json, the port
 * from the socket, and etcd from the environment.
 */
export interface EtcdRegisterOptions extends RegistryOptions, ServerOptions {
  /** Use this registry, which stays yours to close. */
  registry?: Registry
  /** `false`: register nothing, for tests. Default true. */
  enabled?: boolean
  /** The server to register, where it cannot be found through the app. */
  server?: Server
}

/** The part that adapters share: a registry, and the servers of one app in it. */
export interface ServiceHost {
  readonly registration: Registration | undefined
  /** Of the server that was attached last; `off` before. */
  readonly state: ServerState
  readonly registry: Registry
  attach(server: Server): ServerRegistration
  /** Attaches every server that listens, now or later, and is the app's. */
  attachWhere(isOurs: (server: Server) => boolean): void
  /** Warns if other servers of the process listen, and none was attached 10 s later. */
  expectServer(): void
  /** The last resort: the server of the first request, with a warning once, since it registers late. */
  attachFrom(request: unknown): void
  /** Leaves the roll and resolves after `drainDelay`; the servers go on until somebody closes them. */
  leave(): Promise<void>
  /** Leaves the roll and closes the servers, for frameworks that end in an order of their own. */
  shutdown(): Promise<void>
  close(): Promise<void>
}

const NOT_FOUND = 'the server was not found through the app; pass it as "server", or call attach(server)'

const ADAPTER_OPTIONS = [
  ...new Set([...SERVER_OPTIONS, ...REGISTRY_OPTIONS, 'registry', 'enabled', 'server']),
]

/** Other servers may listen before the app does, such as one for metrics; after this time, in ms, it is overdue. */
const OVERDUE = 10_000

/** For writers of adapters: of all their options, those of the registry. */
export function registryOptionsOf(options: RegistryOptions): RegistryOptions {
  return optionsNamed(REGISTRY_OPTIONS, options)
}

/** For writers of adapters. Throws `ERR_INVALID_OPTION`. */
export function createServiceHost(options: EtcdRegisterOptions = {}): ServiceHost {
  checkNames('options', options, ADAPTER_OPTIONS)
  const registryOptions = registryOptionsOf(options)
  const { registry: given, enabled = true, server: own } = options
  const serverOptions = optionsNamed(SERVER_OPTIONS, options) as ServerOptions
  const attached = new Map<Server, ServerRegistration>()
  const forget: (() => void)[] = []
  let latest: ServerRegistration | undefined
  if (typeof enabled !== 'boolean') throw invalidOption('enabled', 'true or false', enabled)
  let registry = given ?? createRegistry(registryOptions)
  if (enabled) resolveServerOptions(serverOptions, registry)
  let closed = false
  let found = false
  /** By `close()`; then only an explicit `attach()` brings it back. */
  let ended = false

  const warn = (message: string) =>
    (registry as Partial<EtcdRegistry>).logger?.warn({ service: options.name }, message)

  const attach = (server: Server): ServerRegistration => {
    const present = attached.get(server)
    if (present !== undefined || !enabled) return present ?? disabled
    if (closed && given === undefined) registry = createRegistry(registryOptions)
    closed = false
    found = true
    latest = attachServer(server, registry, serverOptions)
    attached.set(server, latest)
    server.once('close', () => void detach(server))
    return latest
  }

  /** A server that listens again is attached again. */
  const detach = async (server: Server) => {
    const registration = attached.get(server)
    attached.delete(server)
    server.once('listening', () => ended || attach(server))
    await registration?.close()
    if (attached.size > 0 || given !== undefined) return
    closed = true
    await registry.close()
  }

  const host: ServiceHost = {
    get registration() {
      return latest?.registration
    },
    get state() {
      return latest?.state ?? 'off'
    },
    get registry() {
      return registry
    },
    attach,
    attachWhere(isOurs) {
      if (!enabled || own !== undefined) return
      forget.push(onListening(server => isOurs(server) && attach(server)))
    },
    expectServer() {
      if (!enabled || own !== undefined) return
      let overdue: NodeJS.Timeout | undefined
      const warnLater = (server: Server) => {
        if (server.listenerCount('request') === 0) return
        overdue ??= setTimeout(() => {
          if (!found && !ended) warn(`not registered: ${NOT_FOUND}`)
        }, OVERDUE).unref()
      }
      forget.push(onListening(warnLater), () => clearTimeout(overdue))
    },
    attachFrom(request) {
      if (attached.size > 0 || !enabled || ended) return
      const server = (request as { socket?: { server?: Server } })?.socket?.server
      if (server === undefined) return
      attach(server)
      warn(`registered with the first request only: ${NOT_FOUND}`)
    },
    async leave() {
      await Promise.all([...attached.values()].map(registration => registration.leave()))
    },
    async shutdown() {
      await Promise.all([...attached.values()].map(registration => registration.shutdown()))
    },
    async close() {
      ended = true
      for (const stop of forget) stop()
      await Promise.all([...attached.values()].map(registration => registration.close()))
      attached.clear()
      closed = true
      if (given === undefined) await registry.close()
    },
  }
  if (own !== undefined) attach(own)
  return host
}

const disabled: ServerRegistration = {
  registration: undefined,
  state: 'off',
  close: () => Promise.resolve(),
  leave: () => Promise.resolve(),
  shutdown: () => Promise.resolve(),
}
