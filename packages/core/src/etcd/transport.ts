import { isIP } from 'node:net'
import type {
  ILeaseKeepAliveRequest,
  ILeaseKeepAliveResponse,
  IOptions,
  IRangeRequest,
  IWatchRequest,
  KVClient,
  LeaseClient,
} from 'etcd3'
import { EtcdRegisterError } from '../errors.ts'
import type { ResolvedOptions } from '../options.ts'
import { Member } from './member.ts'
import { decodeRange, type RangePage } from './range-page.ts'
import { decodeWatch, type WatchMessage } from './watch-message.ts'

/** Beyond this a list is asked for in smaller pages. In bytes. */
const MAX_MESSAGE = 256 * 1024 * 1024

interface Duplex<Request, Response> {
  write(request: Request): boolean
  cancel(): void
  on(event: 'data', listener: (response: Response) => void): this
  on(event: 'error', listener: (error: Error) => void): this
  on(event: 'end', listener: () => void): this
}

export interface Opened<Request, Response> {
  stream: Duplex<Request, Response>
  member: Member
}

/** etcd3's pool of members, and nothing else of etcd3. */
export interface Transport {
  readonly kv: Pick<KVClient, 'txn'>
  range(request: IRangeRequest, options: UnaryOptions): Promise<RangePage>
  readonly lease: LeaseClient
  /** The member that the last unary request went to. */
  readonly lastMember: string | undefined
  openWatch(): Promise<Opened<IWatchRequest, WatchMessage>>
  openKeepAlive(): Promise<Opened<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>>
  close(): void
}

type UnaryOptions = Parameters<KVClient['range']>[1]

/** A client of gRPC, and what it has for each method of its service. */
interface RpcClient {
  makeUnaryRequest(...args: unknown[]): void
  makeBidiStreamRequest(...args: unknown[]): unknown
}
interface RpcMethod {
  path: string
  requestSerialize: unknown
  responseDeserialize: unknown
}

/** etcd has no key below it, and none that is empty. */
const NO_KEY = Buffer.from([0])

function notLoaded(cause: Error): never {
  const advice = 'Install it beside @etcd-register/core, and keep both out of a bundle (external).'
  const message = `The package etcd3 cannot be loaded (${cause.message}). ${advice}`
  throw new EtcdRegisterError('ERR_ETCD_CLIENT', message, { cause })
}

type Policy = NonNullable<NonNullable<IOptions['faultHandling']>['global']>

/** Loads etcd3, which takes its time (some 300 ms), and builds its pool; connects to nobody yet. */
export async function openTransport(options: ResolvedOptions): Promise<Transport> {
  const { Etcd3, KVClient, LeaseClient, EtcdInvalidAuthTokenError, castGrpcError } = await import(
    'etcd3'
  ).catch(notLoaded)
  const members = new Map<string, Member>()
  let lastMember: string | undefined
  const deadline = () => ({ deadline: Date.now() + options.requestTimeout })

  class Client extends Etcd3 {
    get rpc() {
      return this.pool
    }
  }

  const { ca, cert, key } = options.tls
  const client = new Client({
    hosts: options.hosts.map(host => `${options.secure ? 'https' : 'http'}://${host}`),
    ...(options.auth && {
      auth: { username: options.auth.username, password: options.auth.password, callOptions: deadline },
    }),
    ...(options.secure &&
      (ca ?? cert) && {
        credentials: {
          // gRPC takes none at all for the system's own; etcd3's types do not say so.
          rootCertificate: ca as Buffer,
          ...(key && { privateKey: key }),
          ...(cert && { certChain: cert }),
        },
      }),
    grpcOptions: {
      'grpc.keepalive_time_ms': 5000,
      'grpc.keepalive_timeout_ms': 2000,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 1000,
      'grpc.max_receive_message_length': MAX_MESSAGE,
      'grpc.service_config_disable_resolution': 1,
    },
    faultHandling: {
      global: { execute: (fn: () => unknown) => fn() } as unknown as Policy,
      host: name => {
        const member = new Member(
          name.replace(/^https?:\/\//, ''),
          () => members.values(),
          ({ name }) => {
            lastMember = name
          },
        )
        members.set(member.name, member)
        return member as unknown as Policy
      },
    },
  })

  nameNoAddress(client.rpc)
  const kv = new KVClient(client.rpc)

  /** As etcd3 does it, with our decoder. */
  const range = (request: IRangeRequest, options: UnaryOptions): Promise<RangePage> =>
    client.rpc.withConnection('KV', ({ client: rpc, metadata }) => {
      const { path, requestSerialize } = (rpc as unknown as { range: RpcMethod }).range
      return new Promise((resolve, reject) => {
        const answered = (error: Error | null, page: RangePage) =>
          error ? reject(castGrpcError(error)) : resolve(page)
        const { makeUnaryRequest } = rpc as unknown as RpcClient
        makeUnaryRequest.call(rpc, path, requestSerialize, decodeRange, request, metadata, options, answered)
      })
    })

  const openStream = <Request, Response>(
    service: 'Watch' | 'Lease',
    name: 'watch' | 'leaseKeepAlive',
    decode?: (message: Buffer) => Response,
  ): Promise<Opened<Request, Response>> =>
    client.rpc.withConnection(service, ({ resource, client: rpc, metadata }) => {
      const headers = metadata.clone()
      headers.set('hasleader', 'true')
      const { path, requestSerialize, responseDeserialize } = (rpc as unknown as Record<string, RpcMethod>)[
        name
      ]!
      const { makeBidiStreamRequest } = rpc as unknown as RpcClient
      const stream = makeBidiStreamRequest.call(
        rpc,
        path,
        requestSerialize,
        decode ?? responseDeserialize,
        headers,
      )
      return {
        stream: stream as Duplex<Request, Response>,
        member: resource.faultHandling as unknown as Member,
      }
    })

  return {
    kv,
    range: (request, options) =>
      range(request, options).catch(async error => {
        if (!(error instanceof EtcdInvalidAuthTokenError)) throw error
        // etcd3 asks for a new token where one of its own requests is refused for it.
        await kv.range({ key: NO_KEY }, options).catch(() => {})
        return range(request, options)
      }),
    lease: new LeaseClient(client.rpc),
    get lastMember() {
      return lastMember
    },
    openWatch: () => openStream('Watch', 'watch', decodeWatch),
    openKeepAlive: () => openStream('Lease', 'leaseKeepAlive'),
    close: () => client.close(),
  }
}

interface SecureConnector {
  connectionOptions?: { servername?: string }
}

interface Credentials {
  _createSecureConnector?(...args: unknown[]): SecureConnector
}

/**
 * gRPC gives an address as the TLS server name, which RFC 6066 forbids: Node warns of it, and from 26 on refuses to
 * connect. Without a name the certificate is still checked against the address.
 */
function nameNoAddress(pool: unknown): void {
  // One object for all members and for the authentication.
  const [host] = (pool as { hosts: { channelCredentials: Credentials }[] }).hosts
  const credentials = host?.channelCredentials
  const create = credentials?._createSecureConnector
  if (credentials === undefined || create === undefined) return
  credentials._createSecureConnector = (...args) => {
    const connector = create.apply(credentials, args)
    const options = connector.connectionOptions
    if (options?.servername !== undefined && isIP(options.servername) > 0) options.servername = ''
    return connector
  }
}
