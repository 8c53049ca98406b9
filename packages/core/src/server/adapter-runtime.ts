import type { Server } from 'node:net'
import { EtcdRegisterError, invalidOption } from '../etcd/support/errors.ts'
import { guardedLogger, resolveLogger } from '../etcd/support/logger.ts'
import { checkNames } from '../etcd/support/option-names.ts'
import type { Registration } from '../registration/registration.ts'
import type { RegistryOptions } from '../registry/options.ts'
import { optionsNamed, REGISTRY_OPTIONS } from '../registry/options.ts'
import type { Registry } from '../registry/registry.ts'
import { createRegistry, type EtcdRegistry } from '../registry/registry.ts'
import { ExpectedServer } from './expected-server.ts'
import { onListening } from './listening.ts'
import { requestListeners } from './request-listeners.ts'
import {
  attachServer,
  resolveServerOptions,
  SERVER_OPTIONS,
  type ServerOptions,
  type ServerRegistration,
  type ServerState,
} from './server.ts'

/**
 * What every adapter takes, all of it optional: with none, the name comes from `SERVICE_NAME` or package.json, the port
 * from the socket, and etcd from the environment.
 */
export interface EtcdRegisterOptions extends RegistryOptions, ServerOptions {
  /** Use this registry, which stays yours to close. Options of a registry beside it are refused. */
  registry?: Registry | undefined
  /** `false`: register nothing, for tests. Default true. */
  enabled?: boolean | undefined
  /** The server to register, where it cannot be found through the app. */
  server?: Server | undefined
}

/** The part that adapters share: a registry, and the servers of one app in it. */
export interface AdapterRuntime {
  readonly registration: Registration | undefined
  /** For a readiness check: true while one of the servers serves, and before one listens. */
  readonly ready: boolean
  /** Of the server that was attached last, of several that listen; `off` before. */
  readonly state: ServerState
  readonly registry: Registry
  attach(server: Server): ServerRegistration
  /**
   * Attaches every server that listens, now or later, and is the app's. `requestListeners`: those that it has, and those
   * that a library took away from it before it listened.
   */
  attachWhere(isOurs: (server: Server, requestListeners: readonly object[]) => boolean): void
  /**
   * Warns if a server of the process listens, and none of the app is there 1.5 s later; once more when one is found.
   * `advice`: how to name the server. `isKnown`: whether it is; by default, whether any is attached.
   */
  expectServer(advice?: string, isKnown?: () => boolean): void
  /** The last resort: the server of the first request, with a warning once, since it registers late. */
  attachFrom(request: unknown): void
  /** Deregisters and resolves after `drainDelay`; the servers go on until somebody closes them. */
  leave(): Promise<void>
  /** Deregisters and closes the servers, for frameworks that end in an order of their own. */
  shutdown(): Promise<void>
  close(): Promise<void>
}

const ADVICE = 'pass it as "server", or call attach(server)'

const ADAPTER_OPTIONS = [
  ...new Set([...SERVER_OPTIONS, ...REGISTRY_OPTIONS, 'registry', 'enabled', 'server']),
]

/** Supertest has a server for each request; the registry is closed if no other one listens for so long, in ms. */
const BETWEEN_SERVERS = 500

/** For writers of adapters: of all their options, those of the registry. */
export function registryOptionsOf(options: RegistryOptions): RegistryOptions {
  return optionsNamed(REGISTRY_OPTIONS, options)
}

/** For writers of adapters, who may have made the registry of these options. Throws `ERR_INVALID_OPTION`. */
export function createAdapterRuntime(options: EtcdRegisterOptions = {}, made?: Registry): AdapterRuntime {
  checkNames('options', options, ADAPTER_OPTIONS)
  const registryOptions = registryOptionsOf(options)
  const { enabled = true, server: own } = options
  const theirs = options.registry ?? undefined
  const given = made ?? theirs
  const serverOptions = optionsNamed(SERVER_OPTIONS, options) as ServerOptions
  const attached = new Map<Server, ServerRegistration>()
  const forget: (() => void)[] = []
  let latest: ServerRegistration | undefined
  /** Some never do, such as the one that Nest makes for an app which is given servers of its own. */
  let listened: ServerRegistration | undefined
  if (typeof enabled !== 'boolean') throw invalidOption('enabled', 'true or false', enabled)
  if (theirs !== undefined) refuseBeside(theirs, registryOptions)
  let registry = given ?? createRegistry(registryOptions)
  const service = enabled ? resolveServerOptions(serverOptions, registry).service.name : options.name
  // Another implementation of a registry need not have a logger.
  const logger = guardedLogger((registry as Partial<EtcdRegistry>).logger ?? resolveLogger(options.logger))
  const expected = new ExpectedServer(service, logger)
  let closed = false
  /** By `close()`; then only an explicit `attach()` brings it back. */
  let ended = false
  let closing: NodeJS.Timeout | undefined

  /** The last one that listens, else the last one. */
  const current = () => [...attached.values()].findLast(({ state }) => state !== 'off') ?? latest

  const attach = (server: Server): ServerRegistration => {
    const present = attached.get(server)
    if (present !== undefined) return present
    clearTimeout(closing)
    if (closed && given === undefined) registry = createRegistry(registryOptions)
    closed = false
    const registration = enabled ? attachServer(server, registry, serverOptions) : leftAlone(server)
    const listens = () => {
      listened = registration
      expected.found()
    }
    latest = registration
    attached.set(server, registration)
    server.once('close', () => void detach(server))
    if (server.listening) listens()
    else server.once('listening', listens)
    return registration
  }

  /** A server that listens again is attached again. */
  const detach = async (server: Server) => {
    const registration = attached.get(server)
    attached.delete(server)
    server.once('listening', () => ended || attach(server))
    await registration?.close()
    if (attached.size > 0 || given !== undefined) return
    if (enabled) await closeRegistry()
    else closing = setTimeout(closeRegistry, BETWEEN_SERVERS).unref()
  }

  const closeRegistry = async () => {
    closed = true
    await registry.close()
  }

  const host: AdapterRuntime = {
    get registration() {
      return current()?.registration
    },
    get ready() {
      if ([...attached.values()].some(({ ready }) => ready)) return true
      return listened?.ready ?? !ended
    },
    get state() {
      return current()?.state ?? 'off'
    },
    get registry() {
      return registry
    },
    attach,
    attachWhere(isOurs) {
      if (own !== undefined) return
      forget.push(onListening(server => isOurs(server, requestListeners(server)) && attach(server)))
    },
    expectServer(advice = ADVICE, isKnown = () => attached.size > 0) {
      if (!enabled || own !== undefined) return
      forget.push(expected.expect(isKnown, advice))
    },
    attachFrom(request) {
      if (attached.size > 0 || ended) return
      const server = (request as { socket?: { server?: Server } })?.socket?.server
      if (server === undefined) return
      if (!server.listening) {
        if (enabled) expected.handedOver(ADVICE)
        return
      }
      // Of a unix socket the registration says that nobody else could reach it.
      if (enabled && typeof server.address() === 'object') expected.foundLate(ADVICE)
      attach(server)
    },
    async leave() {
      await Promise.all([...attached.values()].map(registration => registration.leave()))
    },
    async shutdown() {
      await Promise.all([...attached.values()].map(registration => registration.shutdown()))
    },
    async close() {
      ended = true
      clearTimeout(closing)
      for (const stop of forget) stop()
      await Promise.all([...attached.values()].map(registration => registration.close()))
      attached.clear()
      if (given === undefined) await closeRegistry()
    },
  }
  if (own !== undefined) attach(own)
  return host
}

/** A registry has its options by now; only one of another kind may have no logger. */
function refuseBeside(registry: Registry, options: RegistryOptions): void {
  const given = Object.entries(options).filter(([, value]) => value !== undefined)
  const { logger } = registry as Partial<EtcdRegistry>
  const [name] = given.find(([name]) => name !== 'logger' || logger !== undefined) ?? []
  if (name === undefined) return
  const message = `Option "${name}" has no effect beside "registry": give it to createRegistry().`
  throw new EtcdRegisterError('ERR_INVALID_OPTION', message)
}

/** With `enabled: false`: followed, since the registry ends with it, but not registered. */
function leftAlone(server: Server): ServerRegistration {
  let leaves = false
  const leave = async () => {
    leaves = true
  }
  return {
    registration: undefined,
    get ready() {
      return server.listening && !leaves
    },
    state: 'off',
    close: leave,
    leave,
    shutdown: leave,
  }
}
