export {
  type Certificate,
  type CertificateAuthority,
  type CertificateOptions,
  type ClientTls,
  createCertificateAuthority,
} from './certificates.ts'
export type { EtcdVersion } from './embedded/version.ts'
export { type EmbeddedEtcd, type EmbeddedEtcdOptions, startEtcd } from './embedded-etcd.ts'
export type { Etcd } from './etcd.ts'
export { type EtcdBinaryOptions, startEtcdBinary } from './etcd-binary.ts'
export { type EtcdCluster, type EtcdClusterOptions, startEtcdCluster } from './etcd-cluster.ts'
export {
  type EtcdFront,
  type EtcdFrontOptions,
  type EtcdTarget,
  startEtcdGateway,
  startGrpcProxy,
} from './etcd-front.ts'
export type { EtcdMember } from './etcd-member.ts'
export type { EtcdAuthOptions, EtcdOptions, EtcdTlsOptions, EtcdUser, EtcdUsers } from './etcd-options.ts'
export { EtcdStartError } from './etcd-process.ts'
export {
  type FaultDirection,
  type FaultProxy,
  type FaultProxyOptions,
  startFaultProxy,
} from './fault-proxy.ts'
export type { EtcdSnapshot, RestoreOptions } from './snapshot.ts'
