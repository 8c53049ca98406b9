import type { CertificateOptions } from './certificates.ts'

/** What every etcd can be started with, alone or in a cluster. */
export interface EtcdOptions {
  /** Path of the etcd binary; default: `ETCD_BIN`, else the first `etcd` on PATH. */
  bin?: string
  /** Serve clients over TLS with certificates made for this run; default false. */
  tls?: boolean | EtcdTlsOptions
  /** Turn authentication on; default off. */
  auth?: EtcdAuthOptions
  /** Further command line flags, last, so that they win. */
  args?: readonly string[]
  /** Backend size in bytes at which etcd refuses writes; default etcd's 2 GiB. */
  quotaBytes?: number
  /** Gets every log line of etcd, at level info; default: warnings are kept in memory only. */
  logger?: { debug(fields: object, message: string): void }
  /** Milliseconds until a start has failed; default 20000. */
  startTimeout?: number
}

/** How TLS is set up. */
export interface EtcdTlsOptions {
  /** Require a certificate of the same authority from clients (mTLS); default false. */
  clientCerts?: boolean
  /**
   * The server's certificate, to break it on purpose: `{ expired: true }`, `{ hosts: ['elsewhere.test'] }`. With
   * `clientCerts`, an expired one makes `compact()` and `auth` fail: etcd's JSON gateway presents it to etcd.
   */
  server?: CertificateOptions
  /** Common name of the client certificate on the handle; default `client`. */
  commonName?: string
}

/** Users to create before authentication is turned on. */
export interface EtcdAuthOptions {
  /** Password of the user `root`, who may do everything. */
  rootPassword: string
  /** Seconds a token lives; default etcd's 300. */
  tokenTtl?: number
  users?: readonly EtcdUser[]
}

/** A user, and what it may do. */
export interface EtcdUser {
  name: string
  password: string
  /** The one prefix this user may touch; without it, the user may log in and nothing else. */
  role?: { prefix: string; permission: 'read' | 'write' | 'readwrite' }
}
