import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { findEtcd } from './binary.ts'
import type { CertificateAuthority, ClientTls } from './certificates.ts'
import { urlHere } from './endpoint-url.ts'
import { type EtcdProcess, EtcdStartError, etcdProcess } from './etcd-process.ts'
import { freePort } from './free-port.ts'
import { type GuardedFolder, guardFolder } from './watchdog.ts'

/** What a grpc-proxy or a gateway passes calls on to: URLs, or the handle of an etcd, a cluster, or a fault proxy. */
export type EtcdTarget =
  | string
  | readonly string[]
  | ({ readonly endpoint: string } & Trusted)
  | ({ readonly endpoints: readonly string[] } & Trusted)

interface Trusted {
  readonly authority?: CertificateAuthority | undefined
}

/** Options of {@link startGrpcProxy} and {@link startEtcdGateway}. */
export interface EtcdFrontOptions {
  /** Path of the etcd binary; default: `ETCD_BIN`, else the first `etcd` on PATH. */
  bin?: string | undefined
  /** Port on 127.0.0.1; a free one by default. */
  port?: number | undefined
  /** Further command line flags, last, so that they win. */
  args?: readonly string[] | undefined
  /**
   * The certificates with which the grpc-proxy asks an etcd with TLS; by default new ones of the handle's authority.
   * etcd takes none with a common name here: all clients of the proxy would be that user.
   */
  tls?: ClientTls | undefined
  /** Gets every log line. */
  logger?: { debug(fields: object, message: string): void } | undefined
  /** Milliseconds until a start has failed; default 20000. */
  startTimeout?: number | undefined
}

/** What it logs once it listens. Whether etcd answers behind it does not matter. */
const STARTED = /started gRPC proxy|ready to proxy client requests/

/** A process that stands between clients and etcd. It does not keep the process alive. */
export interface EtcdFront extends AsyncDisposable {
  /** URL for clients. */
  readonly endpoint: string
  readonly port: number
  /** Undefined while it is killed or stopped. */
  readonly pid: number | undefined
  /** The last log lines, up to 200, since the last start. */
  readonly log: readonly string[]
  /** Ends at once; resolves when it is gone. */
  kill(): Promise<void>
  /** Resolves when it stands still. Connections stay open and nothing passes. */
  freeze(): Promise<void>
  /** Goes on after `freeze()`. */
  thaw(): void
  /** Kills it if it runs and starts it on the same port; resolves when it answers. */
  restart(): Promise<void>
  /** Ends it for ever. Can be called again. */
  stop(): Promise<void>
}

/**
 * Starts `etcd grpc-proxy` on 127.0.0.1, which joins the watches and renewals of its clients on few streams to etcd.
 * Its own endpoint is without TLS.
 */
export async function startGrpcProxy(etcd: EtcdTarget, options: EtcdFrontOptions = {}): Promise<EtcdFront> {
  const { endpoints, authority } = targetOf(etcd)
  const tls = options.tls ?? (authority && { ca: authority.ca, ...(await authority.issue()) })
  return await launch(
    port => `http://127.0.0.1:${port}`,
    options,
    (address, folder) => [
      ...['grpc-proxy', 'start', '--endpoints', endpoints.join(',')],
      ...['--listen-addr', address, '--advertise-client-url', address],
      ...['--data-dir', join(folder.path, 'data')],
      ...clientFlags(folder, tls),
    ],
  )
}

/** Starts `etcd gateway` on 127.0.0.1, which passes TCP connections on to the endpoints in turn: TLS included. */
export function startEtcdGateway(etcd: EtcdTarget, options: EtcdFrontOptions = {}): Promise<EtcdFront> {
  const urls = targetOf(etcd).endpoints.map(endpoint => new URL(endpoint))
  const hosts = urls.map(({ host }) => host).join(',')
  return launch(
    port => urlHere(urls[0]!, port),
    options,
    address => [...['gateway', 'start', '--endpoints', hosts, '--listen-addr', address]],
  )
}

function targetOf(etcd: EtcdTarget): { endpoints: readonly string[] } & Trusted {
  if (typeof etcd === 'string') return { endpoints: [etcd] }
  if ('endpoints' in etcd) return etcd
  if ('endpoint' in etcd) return { endpoints: [etcd.endpoint], authority: etcd.authority }
  return { endpoints: etcd }
}

function clientFlags(folder: GuardedFolder, tls: ClientTls | undefined): string[] {
  return Object.entries(tls ?? {}).flatMap(([name, pem]) => {
    const path = join(folder.path, `${name}.pem`)
    writeFileSync(path, pem, { mode: 0o600 })
    return [name === 'ca' ? '--cacert' : `--${name}`, path]
  })
}

async function launch(
  urlOf: (port: number) => string,
  options: EtcdFrontOptions,
  argsOf: (address: string, folder: GuardedFolder) => string[],
): Promise<EtcdFront> {
  const bin = findEtcd(options.bin)
  for (let attempt = 1; ; attempt++) {
    const port = options.port ?? (await freePort())
    const folder = guardFolder()
    const endpoint = urlOf(port)
    const args = [...argsOf(`127.0.0.1:${port}`, folder), ...(options.args ?? [])]
    const child = etcdProcess(bin, args, folder.pidFile, line =>
      options.logger?.debug({ etcd: endpoint }, line),
    )
    const front = handle(child, { endpoint, port, folder, startTimeout: options.startTimeout ?? 20_000 })
    try {
      await front.restart()
      return front
    } catch (error) {
      await front.stop()
      const lostPort = error instanceof EtcdStartError && error.addressInUse
      if (!lostPort || options.port !== undefined || attempt === 5) throw error
    }
  }
}

interface Plan {
  readonly endpoint: string
  readonly port: number
  readonly folder: GuardedFolder
  readonly startTimeout: number
}

function handle(child: EtcdProcess, { endpoint, port, folder, startTimeout }: Plan): EtcdFront {
  let stopping: Promise<void> | undefined
  const front: EtcdFront = {
    endpoint,
    port,
    log: child.log,
    get pid() {
      return child.pid
    },
    kill: () => child.kill(),
    freeze: () => child.freeze(),
    thaw: () => child.signal('SIGCONT'),
    async restart() {
      if (stopping !== undefined) throw new Error('It is stopped: start another one')
      await child.kill()
      await child.start(async () => child.log.some(line => STARTED.test(line)), startTimeout)
    },
    stop() {
      stopping ??= child.kill().then(() => folder.release())
      return stopping
    },
    [Symbol.asyncDispose]: () => front.stop(),
  }
  return front
}
