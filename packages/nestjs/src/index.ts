export * from '@etcd-register/core'
export { ETCD_REGISTRATION, ETCD_REGISTRY, getDiscoveryToken } from './etcd.constants.ts'
export { InjectDiscovery, InjectRegistration, InjectRegistry } from './etcd.decorators.ts'
export { EtcdHealthIndicator, type EtcdHealthResult } from './etcd.health.ts'
export type {
  CurrentRegistration,
  EtcdFeature,
  EtcdModuleAsyncOptions,
  EtcdModuleOptions,
  EtcdOptionsFactory,
} from './etcd.interfaces.ts'
export { EtcdModule } from './etcd.module.ts'
