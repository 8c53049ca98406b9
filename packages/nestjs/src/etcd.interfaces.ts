import type { DiscoverOptions, EtcdRegisterOptions, Registration, ServerState } from '@etcd-register/core'
import type { DynamicModule, FactoryProvider, Type } from '@nestjs/common'

/** All of it optional, as with the other adapters. */
export interface EtcdModuleOptions extends EtcdRegisterOptions {
  /** `false`: only modules that import this one see it; `forFeature` needs it global. Default true. */
  isGlobal?: boolean | undefined
}

export interface EtcdOptionsFactory {
  createEtcdOptions(): EtcdRegisterOptions | Promise<EtcdRegisterOptions>
}

/** One of `useFactory`, `useClass` and `useExisting`. */
export interface EtcdModuleAsyncOptions extends Pick<EtcdModuleOptions, 'isGlobal'> {
  imports?: NonNullable<DynamicModule['imports']> | undefined
  inject?: NonNullable<FactoryProvider['inject']> | undefined
  // biome-ignore lint/suspicious/noExplicitAny: whatever `inject` names
  useFactory?: ((...injected: any[]) => EtcdRegisterOptions | Promise<EtcdRegisterOptions>) | undefined
  useClass?: Type<EtcdOptionsFactory> | undefined
  useExisting?: Type<EtcdOptionsFactory> | undefined
}

/** A service to discover. */
export type EtcdFeature = string | ({ name: string } & DiscoverOptions)

export interface CurrentRegistration {
  /** `undefined` until the app listens. */
  readonly current: Registration | undefined
  /** For a readiness check: false from the moment that the app leaves, whatever becomes of etcd. */
  readonly ready: boolean
  readonly state: ServerState
}
