import type { CertificateOptions } from './certificates.ts'

/** What every etcd can be started with, alone or in a cluster. */
export interface EtcdOptions {
  /** Path of the etcd binary; default: `ETCD_BIN`, else the first `etcd` on PATH. */
  bin?: string | undefined
  /** Serve clients over TLS with certificates made for this run; default false. */
  tls?: boolean | EtcdTlsOptions | undefined
  /** Turn authentication on; default off. */
  auth?: EtcdAuthOptions | undefined
  /** Further command line flags, last, so that they win. */
  args?: readonly string[] | undefined
  /** Backend size in bytes at which etcd refuses writes; default etcd's 2 GiB. */
  quotaBytes?: number | undefined
  /** Gets every log line of etcd, at level info; default: warnings are kept in memory only. */
  logger?: { debug(fields: object, message: string): void } | undefined
  /** Milliseconds until a start has failed; default 20000. */
  startTimeout?: number | undefined
}

/** How TLS is set up. */
export interface EtcdTlsOptions {
  /** Require a certificate of the same authority from clients (mTLS); default false. */
  clientCerts?: boolean | undefined
  /**
   * The server's certificate, to break it on purpose: `{ expired: true }`, `{ hosts: ['elsewhere.test'] }`. With
   * `clientCerts`, an expired one makes `compact()` and `auth` fail: etcd's JSON gateway presents it to etcd.
   */
  server?: CertificateOptions | undefined
  /** Common name of the client certificate on the handle; default `client`. */
  commonName?: string | undefined
}

/** Users to create before authentication is turned on. */
export interface EtcdUsers {
  /** Password of the user `root`, who may do everything. */
  rootPassword: string
  users?: readonly EtcdUser[]
}

/** Users to create before authentication is turned on, and what their tokens are. */
export interface EtcdAuthOptions extends EtcdUsers {
  /** Seconds a token lives; default etcd's 300. Each use of a simple token prolongs it, a JWT ends in any case. */
  tokenTtl?: number | undefined
  /**
   * `simple`: tokens that etcd keeps; the default. `jwt`: signed ones, with a key made for this run. Each change of users
   * or roles makes all JWTs invalid. The embedded etcd has simple tokens only.
   */
  tokens?: 'simple' | 'jwt' | undefined
}

/** A user, and what it may do. */
export interface EtcdUser {
  name: string
  password: string
  /** The one prefix this user may touch; without it, the user may log in and nothing else. */
  role?: { prefix: string; permission: 'read' | 'write' | 'readwrite' }
}
