export type { Balancer, BalancerFactory, PickContext } from './balancing/balancer.ts'
export type { BalancerName } from './balancing/index.ts'
export type { Change, DiscoverOptions, Discovery, DiscoveryEvents } from './discovery/discovery.ts'
export type { WatchStatus } from './discovery/table-pool.ts'
export type { EtcdStatus } from './etcd/client/health.ts'
export type { LeaseStatus } from './etcd/lease/session.ts'
export type { Credentials, TlsOptions } from './etcd/options/credentials.ts'
export type { EtcdOptions } from './etcd/options/options.ts'
export type { ErrorStatus } from './etcd/support/errors.ts'
export { type ErrorCode, EtcdRegisterError } from './etcd/support/errors.ts'
export type { Logger } from './etcd/support/logger.ts'
export { type WinstonLike, winstonLogger } from './etcd/support/logger.ts'
export type { KeyRange } from './etcd/watch/key-range.ts'
export { decodeInstance, type FoundInstance } from './formats/decode-instance.ts'
export { type GoMicroOptions, goMicroFormat } from './formats/go-micro.ts'
export { type GoZeroOptions, goZeroFormat } from './formats/go-zero.ts'
export { type GrpcOptions, grpcFormat } from './formats/grpc.ts'
export type {
  Capabilities,
  Decoded,
  DecodedInstance,
  Entry,
  FormatName,
  InstanceFormat,
  RawEntry,
} from './formats/index.ts'
export { type JsonOptions, jsonFormat } from './formats/json.ts'
export { type KitexOptions, kitexFormat } from './formats/kitex.ts'
export { type KratosOptions, kratosFormat } from './formats/kratos.ts'
export { type PlainOptions, plainFormat } from './formats/plain.ts'
export { type SkydnsOptions, skydnsFormat } from './formats/skydns.ts'
export { type TraefikOptions, traefikFormat } from './formats/traefik.ts'
export type { AddressRule } from './instance/address.ts'
export type { Allow, Endpoint, InstanceFields, InstanceStatus, ServiceInstance } from './instance/instance.ts'
export type { ServiceOptions } from './instance/service-options.ts'
export type { Registration, RegistrationEvents, RegistrationStatus } from './registration/registration.ts'
export type { LossReason, RegistrationState } from './registration/state.ts'
export type { RegistryOptions } from './registry/options.ts'
export type { Registry, RegistryStatus } from './registry/registry.ts'
export { createRegistry } from './registry/registry.ts'
export {
  type AdapterRuntime,
  createAdapterRuntime,
  type EtcdRegisterOptions,
  registryOptionsOf,
} from './server/adapter-runtime.ts'
export {
  attachServer,
  type ServerOptions,
  type ServerRegistration,
  type ServerState,
} from './server/server.ts'
