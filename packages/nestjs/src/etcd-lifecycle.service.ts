import type { AddressInfo, Server } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import {
  type AdapterRuntime,
  createAdapterRuntime,
  createRegistry,
  type Discovery,
  EtcdRegisterError,
  type Registration,
  type Registry,
  registryOptionsOf,
  type ServerRegistration,
  type ServerState,
} from '@etcd-register/core'
import type {
  OnApplicationBootstrap,
  OnApplicationShutdown,
  OnModuleDestroy,
  OnModuleInit,
} from '@nestjs/common'
import type { HttpAdapterHost, ModulesContainer } from '@nestjs/core'
import { destroyFirst, leaveBeforeClose } from './destroy-order.ts'
import { ETCD_LIFECYCLE } from './etcd.constants.ts'
import type { CurrentRegistration, EtcdFeature, EtcdModuleOptions } from './etcd.interfaces.ts'
import { nestLogger } from './nest-logger.ts'
import type { SealedOptions } from './sealed-options.ts'

/** On the container of the app, so that an ESM and a CommonJS copy of this package have the same one. */
const LIFECYCLE: unique symbol = Symbol.for('etcd-register.nestjs.lifecycle')

/**
 * The one of the app, also where several modules import `forRoot()`: since 11 Nest takes each call for a module of its
 * own, and two registrations of one server would be in conflict. Throws `ERR_INVALID_OPTION`.
 */
export function lifecycleOf(
  sealed: SealedOptions,
  adapter: HttpAdapterHost,
  modules: ModulesContainer & { [LIFECYCLE]?: EtcdLifecycle },
): EtcdLifecycle {
  const options = sealed.open()
  const present = modules[LIFECYCLE]
  if (present === undefined) {
    const lifecycle = new EtcdLifecycle(options, adapter, modules)
    Object.defineProperty(modules, LIFECYCLE, { value: lifecycle })
    return lifecycle
  }
  const name = present.differsIn(options)
  if (name === undefined) return present
  const message = `Two modules of this app import EtcdModule.forRoot() with a different "${name}". Import it in the root module only: it is global, so that others have its providers without.`
  throw new EtcdRegisterError('ERR_INVALID_OPTION', message)
}

/** Ties the registration of the app's server to Nest's own order of starting and ending. */
export class EtcdLifecycle
  implements CurrentRegistration, OnModuleInit, OnApplicationBootstrap, OnModuleDestroy, OnApplicationShutdown
{
  readonly registry: Registry
  readonly #options: EtcdModuleOptions
  readonly #adapter: HttpAdapterHost
  readonly #host: AdapterRuntime
  readonly #discoveries: Discovery[] = []
  /** The server that Nest makes and closes. */
  #server: ServerRegistration | undefined
  #initialized = false

  constructor(options: EtcdModuleOptions, adapter: HttpAdapterHost, modules: ModulesContainer) {
    this.#options = options
    this.#adapter = adapter
    // One registry from the first provider to the last hook, also if the server closes and listens again in between.
    const { isGlobal: _, ...others } = options
    const { logger = nestLogger } = options
    this.registry = options.registry ?? createRegistry({ ...registryOptionsOf(options), logger })
    this.#host = createAdapterRuntime(others, this.registry)
    if (options.registry === undefined) holdProcess(this.registry, false)
    destroyFirst(modules, ETCD_LIFECYCLE)
  }

  /** The name of an option that is another one here; `undefined`: there is none. */
  differsIn(options: EtcdModuleOptions): string | undefined {
    const [ours, theirs]: Record<string, unknown>[] = [{ ...this.#options }, { ...options }]
    return Object.keys({ ...ours, ...theirs }).find(name => !isDeepStrictEqual(ours![name], theirs![name]))
  }

  get current(): Registration | undefined {
    return this.#host.registration
  }

  get ready(): boolean {
    return this.#host.ready
  }

  get state(): ServerState {
    return this.#host.state
  }

  discover(feature: EtcdFeature): Discovery {
    const { name, ...options } = typeof feature === 'string' ? { name: feature } : feature
    const discovery = this.registry.discover(name, options)
    this.#discoveries.push(discovery)
    return discovery
  }

  /**
   * The server of Nest is made by now, and listens later. An app can have others, which it makes itself with the app of the
   * adapter; application contexts and pure microservices have none of HTTP. Nest calls this once for each module.
   */
  onModuleInit(): void {
    const { server: given, port } = this.#options
    if (given !== undefined || this.#initialized) return
    this.#initialized = true
    const adapter = this.#adapter.httpAdapter as HttpAdapterHost['httpAdapter'] | null | undefined
    if (adapter != null) leaveBeforeClose(adapter, () => this.#host.leave())
    const server: Server | undefined = adapter?.getHttpServer?.()
    if (server !== undefined) {
      this.#server = this.#host.attach(server)
      const instance: object = adapter!.getInstance()
      this.#host.attachWhere((_, listeners) => listeners.includes(instance))
    } else if (port !== undefined) {
      this.#host.attachWhere(listening => (listening.address() as AddressInfo | null)?.port === port)
    }
  }

  /** From now on it may listen at any time. */
  onApplicationBootstrap(): void {
    if (this.#options.registry === undefined) holdProcess(this.registry, true)
    if (this.#server === undefined) return
    const advice = 'pass it as "server" to EtcdModule.forRoot()'
    this.#host.expectServer(advice, () => this.#host.state !== 'off')
  }

  /** Before all others, whose databases have to be there while the last requests are answered. */
  async onModuleDestroy(): Promise<void> {
    // Servers that the app made itself are its own to close: a second close of them would be an error there.
    await (this.#server === undefined
      ? this.#host.shutdown()
      : Promise.all([this.#server.shutdown(), this.#host.leave()]))
    await this.#host.close()
  }

  async onApplicationShutdown(): Promise<void> {
    await Promise.all(this.#discoveries.map(discovery => discovery.close()))
    if (this.#options.registry === undefined) await this.registry.close()
  }
}

/** An app that fails to start closes nothing: until it has, nothing of ours keeps the process alive. */
function holdProcess(registry: Registry & { holdProcess?(holds: boolean): void }, holds: boolean): void {
  registry.holdProcess?.(holds)
}
