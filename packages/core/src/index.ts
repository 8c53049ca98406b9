export type { AddressRule } from './address.ts'
export type { Balancer, BalancerFactory, BalancerName, PickContext } from './balancers/index.ts'
export { type ErrorCode, EtcdRegisterError } from './errors.ts'
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
  KeyRange,
  RawEntry,
} from './formats/index.ts'
export { type JsonOptions, jsonFormat } from './formats/json.ts'
export { type KitexOptions, kitexFormat } from './formats/kitex.ts'
export { type KratosOptions, kratosFormat } from './formats/kratos.ts'
export { type PlainOptions, plainFormat } from './formats/plain.ts'
export { type SkydnsOptions, skydnsFormat } from './formats/skydns.ts'
export { type TraefikOptions, traefikFormat } from './formats/traefik.ts'
export type { InstanceFields } from './instance.ts'
export { type WinstonLike, winstonLogger } from './logger.ts'
export { createRegistry } from './registry.ts'
export { attachServer, type ServerOptions, type ServerRegistration, type ServerState } from './server.ts'
export {
  createServiceHost,
  type EtcdRegisterOptions,
  registryOptionsOf,
  type ServiceHost,
} from './service-host.ts'
export type * from './types.ts'
