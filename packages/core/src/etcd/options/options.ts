import { invalidOption } from '../support/errors.ts'
import { isHere } from '../support/host.ts'
import { type Logger, resolveLogger } from '../support/logger.ts'
import {
  type AuthOption,
  type AuthSource,
  resolveAuth,
  resolveTls,
  type Tls,
  type TlsOptions,
} from './credentials.ts'
import { resolveHosts, type SrvLookup } from './hosts.ts'

/** How to reach etcd. */
export interface EtcdOptions {
  /**
   * etcd's client URLs, or `srv+https://example.org` for what DNS SRV records name (`_etcd-client-ssl._tcp.example.org`;
   * with `srv+http://` `_etcd-client._tcp`), which are looked up again once no member can be reached. Default:
   * `ETCD_ENDPOINTS` or `ETCDCTL_ENDPOINTS` (comma list), `ETCDCTL_DISCOVERY_SRV`, else `http://127.0.0.1:2379`.
   */
  hosts?: string | string[] | undefined
  /**
   * The user to log in as, or a function that is called for each new authentication, for passwords that rotate; it may
   * take `requestTimeout`. Default: `ETCD_USERNAME` and `ETCD_PASSWORD`, or `ETCDCTL_USER` as
   * `name:password` or with `ETCDCTL_PASSWORD`. An etcd
   * without authentication is used without.
   */
  auth?: AuthOption
  /** Default: `ETCD_CACERT`, `ETCD_CERT`, `ETCD_KEY`, or the same with `ETCDCTL_`. With any of them etcd is reached over TLS only. */
  tls?: TlsOptions | undefined
  /** Milliseconds for one attempt of one request, default 3000. */
  requestTimeout?: number | undefined
  /**
   * Default: warnings and errors to the console. `false`: silence. A logger of winston, which takes the message first, is
   * recognised and used through `winstonLogger()`.
   */
  logger?: Logger | false | undefined
}

/** Everything decided: what is built on it knows no default. */
export interface ResolvedEtcdOptions {
  /** `host:port`, without the scheme; empty where DNS SRV records name them. */
  hosts: readonly string[]
  srv?: SrvLookup
  secure: boolean
  auth: AuthSource | undefined
  tls: Tls
  requestTimeout: number
  logger: Logger
}

/** Throws `ERR_INVALID_OPTION` for the first option that breaks its rule. A variable that is empty counts as not set. */
export function resolveEtcdOptions(
  options: EtcdOptions = {},
  environment: NodeJS.ProcessEnv = process.env,
): ResolvedEtcdOptions {
  const env = Object.fromEntries(Object.entries(environment).filter(([, value]) => value !== ''))
  const { requestTimeout = 3000 } = options
  const { hosts, secure, srv, domain } = resolveHosts(options, env)
  const tls = secure ? resolveTls(options.tls, env) : {}
  // As etcdctl does it: who can forge a DNS answer cannot have a certificate for the domain.
  if (secure && domain !== undefined) tls.serverName ??= domain
  return {
    hosts,
    ...(srv && { srv }),
    secure,
    auth: resolveAuth(options.auth, env),
    tls,
    requestTimeout: milliseconds('requestTimeout', requestTimeout, 1),
    logger: resolveLogger(options.logger),
  }
}

/** One warning where others on the way to etcd can read the password. */
export function warnOfPlainPassword({ auth, secure, hosts, srv, logger }: ResolvedEtcdOptions): void {
  const remote = hosts.filter(host => !isHere(host))
  const where = srv?.name ?? remote.join(', ')
  if (auth === undefined || secure || where === '') return
  logger.warn(
    { hosts: where },
    `The password for etcd goes over http:// to ${where}: others on that network can read it. Use https://, in "hosts" or ETCD_ENDPOINTS.`,
  )
}

/** Throws `ERR_INVALID_OPTION`. */
export function milliseconds(option: string, value: number, least = 0, most = 600_000): number {
  if (!Number.isInteger(value) || value < least || value > most) {
    throw invalidOption(option, `a whole number of milliseconds from ${least} to ${most}`, value)
  }
  return value
}
