import type { CertificateAuthority, ClientTls } from './certificates.ts'
import type { EtcdUsers } from './etcd-options.ts'

/** What a test can do to an etcd, be it the embedded one or a real one. Neither keeps the process alive. */
export interface Etcd extends AsyncDisposable {
  /** URL for clients: `http://127.0.0.1:PORT`, or `https://localhost:PORT` with TLS. */
  readonly endpoint: string
  readonly port: number
  /** With the option `tls`: the authority and a client's certificate and key, as PEM. */
  readonly tls?: ClientTls | undefined
  /** With the option `tls`: issues more certificates this etcd trusts. */
  readonly authority?: CertificateAuthority | undefined
  /** Ends at once; resolves when it is gone. The data stay for `restart()`. */
  kill(): Promise<void>
  /** Resolves when it stands still. Connections stay open and nothing answers. */
  freeze(): Promise<void>
  /** Goes on after `freeze()`. */
  thaw(): void
  /** Kills it if it runs and starts it on the same port, with `wipe` on an empty store; resolves when healthy. */
  restart(options?: { wipe?: boolean }): Promise<void>
  /** Empties the store as a restart does: revision 1, no keys, leases or history, all connections end. */
  wipe(): Promise<void>
  /** Compacts the history up to a revision (default the current one), which is returned. */
  compact(revision?: number | bigint): Promise<bigint>
  /**
   * Turns authentication on while it runs, by default with the users of the option `auth`. Users and roles there are
   * get the passwords and permissions that are given, others stay. A wipe keeps it on.
   */
  enableAuth(users?: EtcdUsers): Promise<void>
  /** Turns authentication off while it runs. Users and roles stay until a wipe. */
  disableAuth(): Promise<void>
  /** Output of etcdctl (v3), run as root against this etcd. Rejects when it fails or is not installed. */
  etcdctl(...args: string[]): Promise<string>
  /**
   * How many calls came in, by RPC: `{ Range: 3, Put: 1, Watch: 1 }`; a stream counts once. Of a real etcd those that
   * its own controls make are among them, and it begins again with each start.
   */
  requests(): Promise<Record<string, number>>
  /** How many streams of an RPC, `Watch` or `LeaseKeepAlive`, are open. */
  openStreams(rpc: string): Promise<number>
  /** Samples of /metrics by full name with labels. The embedded one has those of calls and watches only. */
  metrics(): Promise<Map<string, number>>
  /** Ends it for ever. Can be called again. */
  stop(): Promise<void>
}
