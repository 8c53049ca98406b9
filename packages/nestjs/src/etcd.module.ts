import { isDeepStrictEqual } from 'node:util'
import { EtcdRegisterError } from '@etcd-register/core'
import { type DynamicModule, Module, type Provider } from '@nestjs/common'
import { HttpAdapterHost, ModulesContainer } from '@nestjs/core'
import {
  ETCD_LIFECYCLE,
  ETCD_OPTIONS,
  ETCD_REGISTRATION,
  ETCD_REGISTRY,
  getDiscoveryToken,
} from './etcd.constants.ts'
import { EtcdHealthIndicator } from './etcd.health.ts'
import type {
  EtcdFeature,
  EtcdModuleAsyncOptions,
  EtcdModuleOptions,
  EtcdOptionsFactory,
} from './etcd.interfaces.ts'
import { type EtcdLifecycle, lifecycleOf } from './etcd-lifecycle.service.ts'
import { SealedOptions } from './sealed-options.ts'

/** Registers the app in etcd while it listens, and discovers other services there. */
@Module({})
export class EtcdModule {
  /**
   * Once, in the root module; in another one it means the same registry. Throws `ERR_INVALID_OPTION` when Nest creates it,
   * also where two of them differ.
   */
  static forRoot(options: EtcdModuleOptions = {}): DynamicModule {
    return root([{ provide: ETCD_OPTIONS, useValue: new SealedOptions(options) }], options)
  }

  /** The same, with options from a factory, a class or a provider that is there. */
  static forRootAsync(options: EtcdModuleAsyncOptions): DynamicModule {
    return { imports: options.imports ?? [], ...root(optionsProviders(options), options) }
  }

  /** In each module that uses `@InjectDiscovery` with one of these. Throws `ERR_INVALID_OPTION` if two differ for one service. */
  static forFeature(features: EtcdFeature[]): DynamicModule {
    const named = features.map(feature => (typeof feature === 'string' ? { name: feature } : feature))
    const providers = named.map((feature, i) => {
      const { name } = feature
      const earlier = named.slice(0, i).find(other => other.name === name)
      if (earlier !== undefined && !isDeepStrictEqual(earlier, feature)) {
        const message = `EtcdModule.forFeature() has "${name}" twice, with different options. A module has one discovery of a service: filter in two modules, or with \`registry.discover()\`.`
        throw new EtcdRegisterError('ERR_INVALID_OPTION', message)
      }
      return {
        provide: getDiscoveryToken(name),
        inject: [ETCD_LIFECYCLE],
        useFactory: (lifecycle: EtcdLifecycle) => lifecycle.discover(feature),
      }
    })
    const exports = providers.map(({ provide }) => provide)
    return { module: EtcdModule, providers: [mark(), ...providers], exports }
  }
}

let marks = 0

/**
 * For each module another one. Nest 10 takes two modules for one that are equal as JSON, with the text of functions: two
 * filters that differ in what they enclose are the same there.
 */
function mark(): Provider {
  marks += 1
  return { provide: `ETCD_REGISTER:MODULE:${marks}`, useValue: marks }
}

function root(options: Provider[], { isGlobal = true }: Pick<EtcdModuleOptions, 'isGlobal'>): DynamicModule {
  const registry = { inject: [ETCD_LIFECYCLE], useFactory: ({ registry }: EtcdLifecycle) => registry }
  return {
    module: EtcdModule,
    global: isGlobal,
    providers: [
      mark(),
      ...options,
      {
        provide: ETCD_LIFECYCLE,
        inject: [ETCD_OPTIONS, HttpAdapterHost, ModulesContainer],
        useFactory: lifecycleOf,
      },
      { provide: ETCD_REGISTRY, ...registry },
      { provide: ETCD_REGISTRATION, useExisting: ETCD_LIFECYCLE },
      EtcdHealthIndicator,
    ],
    exports: [ETCD_LIFECYCLE, ETCD_REGISTRY, ETCD_REGISTRATION, EtcdHealthIndicator],
  }
}

function optionsProviders({ useFactory, useClass, useExisting, inject }: EtcdModuleAsyncOptions): Provider[] {
  if (useFactory) return [{ provide: ETCD_OPTIONS, useFactory: sealing(useFactory), inject: inject ?? [] }]
  const factory = useExisting ?? useClass
  if (!factory) throw new TypeError('EtcdModule.forRootAsync needs useFactory, useClass or useExisting')
  const create = (options: EtcdOptionsFactory) => options.createEtcdOptions()
  return [
    ...(useClass ? [useClass] : []),
    { provide: ETCD_OPTIONS, inject: [factory], useFactory: sealing(create) },
  ]
}

function sealing<Injected extends unknown[]>(
  create: (...injected: Injected) => EtcdModuleOptions | Promise<EtcdModuleOptions>,
): (...injected: Injected) => Promise<SealedOptions> {
  return async (...injected) => new SealedOptions(await create(...injected))
}
