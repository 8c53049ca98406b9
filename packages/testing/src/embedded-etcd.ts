import { usersFor } from './auth.ts'
import { findEtcdctl } from './binary.ts'
import { type Backend, createBackend } from './embedded/backend.ts'
import { createClock } from './embedded/clock.ts'
import { EtcdError } from './embedded/errors.ts'
import { startServer } from './embedded/server.ts'
import { setUpAuth, setUpTls } from './embedded/setup.ts'
import { Traffic } from './embedded/traffic.ts'
import { type EtcdVersion, rulesOf } from './embedded/version.ts'
import type { Etcd } from './etcd.ts'
import type { EtcdAuthOptions, EtcdTlsOptions, EtcdUsers } from './etcd-options.ts'
import { runEtcdctl } from './etcdctl.ts'
import { checkWhole } from './whole-number.ts'

/** Options of {@link startEtcd}. */
export interface EmbeddedEtcdOptions {
  /** The line of etcd whose behaviour it has; default `3.6`. */
  version?: EtcdVersion | undefined
  /** Client port; a free one by default. */
  port?: number | undefined
  /** Address to listen on; default `127.0.0.1`. */
  host?: string | undefined
  /** Serve over TLS with certificates made for this run; default false. */
  tls?: boolean | EtcdTlsOptions | undefined
  /** Turn authentication on; default off. */
  auth?: EtcdAuthOptions | undefined
  /** Seconds of the shortest lease it grants; default 1. A real etcd of default timing grants none below 2. */
  minLeaseTtl?: number | undefined
  /** Operations that a transaction may have, as etcd's `--max-txn-ops`; default 128. */
  maxTxnOps?: number | undefined
  /** Bytes that a request may have, as etcd's `--max-request-bytes`; default 1.5 MiB. */
  maxRequestBytes?: number | undefined
  /** Gets a line when it starts and stops. */
  logger?: { debug(fields: object, message: string): void } | undefined
}

/** An etcd within this process, and what only such a one can do. */
export interface EmbeddedEtcd extends Etcd {
  /** Moves its time forward: leases and tokens whose time is over end before this returns. */
  advance(ms: number): void
  /** Ends a lease as if its time were over. Throws if there is none of this id. */
  expireLease(id: string | bigint): void
  /** Ends all connections, as a network fault would; new ones are accepted. Resolves when clients have noticed. */
  disconnect(): Promise<void>
  /** Ends all tokens: whoever uses one has to log in again. */
  expireTokens(): void
  /** Lets the next call of an RPC, such as `Put`, fail with a gRPC status; several calls fail several. */
  failNext(rpc: string, code: number, message?: string): void
}

/** Seconds, as in etcd. */
const TOKEN_TTL = 300

type State = 'running' | 'frozen' | 'killed' | 'stopped'

/**
 * Starts an etcd in this process, for development and tests: it needs no binary, and keeps everything in memory. It
 * answers etcd's v3 gRPC API as the etcd of the option `version` does.
 */
export async function startEtcd(options: EmbeddedEtcdOptions = {}): Promise<EmbeddedEtcd> {
  const { host = '127.0.0.1', auth, logger, minLeaseTtl = 1 } = options
  const { maxTxnOps = 128, maxRequestBytes = 1.5 * 1024 * 1024 } = options
  const rules = rulesOf(options.version ?? '3.6')
  checkWhole('minLeaseTtl', minLeaseTtl, 1)
  checkWhole('maxRequestBytes', maxRequestBytes, 1)
  if (host.trim() === '') throw new RangeError('host is empty: name an address to listen on, or leave it out')
  const tokenTtl = auth?.tokenTtl ?? TOKEN_TTL
  const settings = { rules, tokenTtl, minLeaseTtl, maxTxnOps, maxRequestBytes }
  if (auth?.tokens === 'jwt')
    throw new RangeError('The embedded etcd has no JWT tokens: take startEtcdBinary()')
  let users: EtcdUsers | undefined = auth
  const tls = options.tls === true ? {} : options.tls || undefined
  const clock = createClock()
  const traffic = new Traffic()
  const fresh = (former?: Backend) => {
    const created = createBackend(clock, settings, former)
    if (users !== undefined && (former?.auth.enabled ?? true)) setUpAuth(created.auth, users)
    return created
  }
  let backend = fresh()
  let state: State = 'running'
  const { tlsServer, certificates } = await setUpTls(tls)
  const plan = { host, port: options.port ?? 0, tls, tlsServer, traffic, backend: () => backend }
  const server = await startServer(plan)
  const { endpoint, port, listener } = server
  const log = (message: string) => logger?.debug({ etcd: endpoint }, message)
  log('embedded etcd: everything is kept in memory, for development and tests only')

  function empty() {
    backend.leases.clear()
    backend = fresh(backend)
  }

  let turn: Promise<unknown> = Promise.resolve()
  /** Starts, ends and restarts run one after another, whoever waits for them or not. */
  function inTurn(step: () => Promise<void>): Promise<void> {
    const done = turn.then(step)
    turn = done.catch(() => {})
    return done
  }

  function checkNotStopped() {
    if (state === 'stopped') throw new Error('This etcd is stopped: start another one')
  }

  async function kill() {
    if (state === 'stopped') return
    state = 'killed'
    clock.halt()
    await listener.close()
  }

  const etcd: EmbeddedEtcd = {
    endpoint,
    port,
    tls: certificates?.client,
    authority: certificates?.authority,
    kill: () => inTurn(kill),
    async freeze() {
      if (state !== 'running') throw new Error(`There is no running etcd to freeze: it is ${state}`)
      state = 'frozen'
      clock.halt()
      listener.hold()
    },
    thaw() {
      if (state !== 'frozen') return
      state = 'running'
      // as in etcd, a lease that ended meanwhile is not saved by a renewal that waits
      clock.start()
      listener.release()
    },
    restart: ({ wipe = false } = {}) =>
      inTurn(async () => {
        checkNotStopped()
        await kill()
        if (wipe) empty()
        backend.leases.renewAll()
        await listener.listen(port)
        state = 'running'
        clock.start()
      }),
    wipe: () => etcd.restart({ wipe: true }),
    async compact(revision = backend.store.revision) {
      checkNotStopped()
      checkWhole('The revision to compact', Number(revision), 0)
      try {
        backend.store.compact(Number(revision))
      } catch (error) {
        if (!(error instanceof EtcdError && error.message.includes('has been compacted'))) throw error
      }
      return BigInt(revision)
    },
    async enableAuth(given) {
      checkNotStopped()
      users = usersFor(given, { users })
      setUpAuth(backend.auth, users)
    },
    async disableAuth() {
      checkNotStopped()
      backend.auth.disable()
    },
    // without a protocol: of one with TLS, etcdctl 3.4 makes a header that Node's HTTP/2 does not take
    etcdctl: (...args) =>
      runEtcdctl(
        findEtcdctl(),
        {
          endpoint: endpoint.replace(/^https?:\/\//, ''),
          tls: certificates?.client,
          auth: backend.auth.enabled ? users : undefined,
        },
        args,
      ),
    requests: async () => traffic.counts,
    openStreams: async rpc => traffic.openStreams(rpc),
    metrics: async () => {
      const samples = traffic.samples()
      return samples.set('etcd_debugging_mvcc_watcher_total', backend.hub.size)
    },
    advance(ms) {
      checkNotStopped()
      clock.advance(ms)
    },
    expireLease(id) {
      checkNotStopped()
      backend.leases.revoke(String(id))
    },
    expireTokens() {
      checkNotStopped()
      backend.auth.tokens.expire()
    },
    async disconnect() {
      checkNotStopped()
      await listener.disconnect()
    },
    failNext(rpc, code, message) {
      checkNotStopped()
      traffic.failNext(rpc, code, message)
    },
    stop: () =>
      inTurn(async () => {
        if (state === 'stopped') return
        await kill()
        state = 'stopped'
        server.stop()
        backend.leases.clear()
        log('embedded etcd: stopped')
      }),
    [Symbol.asyncDispose]: () => etcd.stop(),
  }
  return etcd
}
