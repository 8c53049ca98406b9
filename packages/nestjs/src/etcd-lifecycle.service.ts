import type { AddressInfo, Server } from 'node:net'
import {
  createRegistry,
  createServiceHost,
  type Discovery,
  type Registration,
  type Registry,
  registryOptionsOf,
  type ServerState,
  type ServiceHost,
} from '@etcd-register/core'
import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type OnModuleInit,
} from '@nestjs/common'
import { HttpAdapterHost, ModulesContainer } from '@nestjs/core'
import { destroyFirst, leaveBeforeClose } from './destroy-order.ts'
import { ETCD_OPTIONS } from './etcd.constants.ts'
import type { CurrentRegistration, EtcdFeature, EtcdModuleOptions } from './etcd.interfaces.ts'
import { nestLogger } from './nest-logger.ts'

/** Ties the registration of the app's server to Nest's own order of starting and ending. */
@Injectable()
export class EtcdLifecycle
  implements CurrentRegistration, OnModuleInit, OnApplicationBootstrap, OnModuleDestroy, OnApplicationShutdown
{
  readonly registry: Registry
  readonly #options: EtcdModuleOptions
  readonly #adapter: HttpAdapterHost
  readonly #host: ServiceHost
  readonly #discoveries: Discovery[] = []

  constructor(
    @Inject(ETCD_OPTIONS) options: EtcdModuleOptions,
    @Inject(HttpAdapterHost) adapter: HttpAdapterHost,
    @Inject(ModulesContainer) modules: ModulesContainer,
  ) {
    this.#options = options
    this.#adapter = adapter
    // One registry from the first provider to the last hook, also if the server closes and listens again in between.
    const { isGlobal: _, ...others } = options
    const { logger = nestLogger } = options
    this.registry = options.registry ?? createRegistry({ ...registryOptionsOf(options), logger })
    this.#host = createServiceHost({ ...others, registry: this.registry })
    if (options.registry === undefined) holdProcess(this.registry, false)
    destroyFirst(modules, EtcdLifecycle)
  }

  get current(): Registration | undefined {
    return this.#host.registration
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

  /** The server is made by now, and listens later. Application contexts and pure microservices have none of HTTP. */
  onModuleInit(): void {
    const { server: given, port } = this.#options
    if (given !== undefined) return
    const adapter = this.#adapter.httpAdapter as HttpAdapterHost['httpAdapter'] | null | undefined
    if (adapter != null) leaveBeforeClose(adapter, () => this.#host.leave())
    const server: Server | undefined = adapter?.getHttpServer?.()
    if (server !== undefined) this.#host.attach(server)
    else if (port !== undefined) {
      this.#host.attachWhere(listening => (listening.address() as AddressInfo | null)?.port === port)
    }
  }

  onApplicationBootstrap(): void {
    if (this.#options.registry === undefined) holdProcess(this.registry, true)
  }

  /** Before all others, whose databases have to be there while the last requests are answered. */
  async onModuleDestroy(): Promise<void> {
    await this.#host.shutdown()
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
