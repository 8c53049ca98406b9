/** What a test can do to an etcd, be it the embedded one or a real one. It does not keep the process alive. */
export interface Etcd extends AsyncDisposable {
  /** URL for clients: `http://127.0.0.1:PORT`, or https with TLS. */
  readonly endpoint: string
  readonly port: number
  /** Ends all connections and accepts none. The data stay for `restart()`. */
  kill(): Promise<void>
  /** Connections stay open and nothing answers, until `thaw()`. */
  freeze(): Promise<void>
  thaw(): void
  /** Kills it if it runs and starts it on the same port, with `wipe` on an empty store. */
  restart(options?: { wipe?: boolean }): Promise<void>
  /** Empties the store: back to revision 1, without keys, leases and history. All connections end. */
  wipe(): Promise<void>
  /** Compacts the history up to a revision (default the current one), which is returned. */
  compact(revision?: number | bigint): Promise<bigint>
  /** Output of etcdctl (v3), run as root against this etcd. Rejects when it fails or is not installed. */
  etcdctl(...args: string[]): Promise<string>
  /** How many calls came in so far, by RPC: `{ Range: 3, Put: 1, Watch: 1 }`. A stream counts once. */
  requests(): Promise<Record<string, number>>
  /** How many streams of an RPC, `Watch` or `LeaseKeepAlive`, are open. */
  openStreams(rpc: string): Promise<number>
  /** Ends it for ever. Can be called again. */
  stop(): Promise<void>
}
