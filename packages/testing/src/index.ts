export {
  type Certificate,
  type CertificateAuthority,
  type CertificateOptions,
  type ClientTls,
  createCertificateAuthority,
} from './certificates.ts'
export { type EmbeddedEtcd, type EmbeddedEtcdOptions, startEtcd } from './embedded-etcd.ts'
export type { Etcd } from './etcd.ts'
export { type EtcdBinaryOptions, startEtcdBinary } from './etcd-binary.ts'
export { type EtcdCluster, type EtcdClusterOptions, startEtcdCluster } from './etcd-cluster.ts'
export type { EtcdMember } from './etcd-member.ts'
export type { EtcdAuthOptions, EtcdOptions, EtcdTlsOptions, EtcdUser } from './etcd-options.ts'
export { EtcdStartError } from './etcd-process.ts'
export {
  type FaultDirection,
  type FaultProxy,
  type FaultProxyOptions,
  startFaultProxy,
} from './fault-proxy.ts'
