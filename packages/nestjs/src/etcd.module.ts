import { type DynamicModule, Module, type Provider } from '@nestjs/common'
import { ETCD_OPTIONS, ETCD_REGISTRATION, ETCD_REGISTRY, getDiscoveryToken } from './etcd.constants.ts'
import { EtcdHealthIndicator } from './etcd.health.ts'
import type {
  EtcdFeature,
  EtcdModuleAsyncOptions,
  EtcdModuleOptions,
  EtcdOptionsFactory,
} from './etcd.interfaces.ts'
import { EtcdLifecycle } from './etcd-lifecycle.service.ts'

/** Puts the app on the roll in etcd while it listens, and finds others there. */
@Module({})
export class EtcdModule {
  /** Once, in the root module. Throws `ERR_INVALID_OPTION` when Nest creates it. */
  static forRoot(options: EtcdModuleOptions = {}): DynamicModule {
    return root([{ provide: ETCD_OPTIONS, useValue: options }], options)
  }

  /** The same, with options from a factory, a class or a provider that is there. */
  static forRootAsync(options: EtcdModuleAsyncOptions): DynamicModule {
    return { imports: options.imports ?? [], ...root(optionsProviders(options), options) }
  }

  /** In each module that uses `@InjectDiscovery` with one of these. */
  static forFeature(features: EtcdFeature[]): DynamicModule {
    const providers = features.map(feature => ({
      provide: getDiscoveryToken(typeof feature === 'string' ? feature : feature.name),
      inject: [EtcdLifecycle],
      useFactory: (lifecycle: EtcdLifecycle) => lifecycle.discover(feature),
    }))
    return { module: EtcdModule, providers, exports: providers.map(({ provide }) => provide) }
  }
}

function root(options: Provider[], { isGlobal = true }: Pick<EtcdModuleOptions, 'isGlobal'>): DynamicModule {
  const registry = { inject: [EtcdLifecycle], useFactory: ({ registry }: EtcdLifecycle) => registry }
  return {
    module: EtcdModule,
    global: isGlobal,
    providers: [
      ...options,
      EtcdLifecycle,
      { provide: ETCD_REGISTRY, ...registry },
      { provide: ETCD_REGISTRATION, useExisting: EtcdLifecycle },
      EtcdHealthIndicator,
    ],
    exports: [EtcdLifecycle, ETCD_REGISTRY, ETCD_REGISTRATION, EtcdHealthIndicator],
  }
}

function optionsProviders({ useFactory, useClass, useExisting, inject }: EtcdModuleAsyncOptions): Provider[] {
  if (useFactory) return [{ provide: ETCD_OPTIONS, useFactory, inject: inject ?? [] }]
  const factory = useExisting ?? useClass
  if (!factory) throw new TypeError('EtcdModule.forRootAsync needs useFactory, useClass or useExisting')
  return [
    ...(useClass ? [useClass] : []),
    {
      provide: ETCD_OPTIONS,
      inject: [factory],
      useFactory: (options: EtcdOptionsFactory) => options.createEtcdOptions(),
    },
  ]
}
