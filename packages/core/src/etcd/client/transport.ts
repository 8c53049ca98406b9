import { isIP } from 'node:net'
import type {
  IAuthenticateResponse,
  ILeaseGrantResponse,
  ILeaseKeepAliveRequest,
  ILeaseKeepAliveResponse,
  ILeaseRevokeResponse,
  IOptions,
  IRangeRequest,
  ITxnRequest,
  IWatchRequest,
  KVClient,
} from 'etcd3'
import type { Auth } from '../options/credentials.ts'
import type { ResolvedEtcdOptions } from '../options/options.ts'
import { checkGrant, checkRange, checkToken, type DecodedGrant } from '../wire/answer-checks.ts'
import { InvalidAnswer } from '../wire/message-fields.ts'
import { type AnswerTimes, decodeRange, type RangePage } from '../wire/range-page.ts'
import { decodeTxn, type TxnAnswer } from '../wire/txn-answer.ts'
import { decodeWatch, type WatchMessage } from '../wire/watch-message.ts'
import { Channels, OWN_CONNECTION, type Client as RpcChannel } from './channels.ts'
import { loadClient, warnOfOldGrpc } from './load-client.ts'
import { Member } from './member.ts'
import { secureConnectors } from './secure-connector.ts'
import { TlsFiles } from './tls-files.ts'
import type { Token } from './token.ts'

/** Beyond this a list is asked for in smaller pages, and listed what a watch would have told. In bytes. */
const MAX_MESSAGE = 64 * 1024 * 1024

interface Duplex<Request, Response> {
  write(request: Request): boolean
  cancel(): void
  on(event: 'data', listener: (response: Response) => void): this
  on(event: 'metadata', listener: (metadata: Metadata) => void): this
  on(event: 'error', listener: (error: Error) => void): this
  on(event: 'end', listener: () => void): this
}

export interface Opened<Request, Response> {
  stream: Duplex<Request, Response>
  member: Member
  /** Whether etcd answers a read on the same connection within so many ms. Never rejects. */
  answers(timeout: number): Promise<boolean>
  /** The next stream gets another connection. */
  replace(): void
}

/** etcd3's pool of members, and nothing else of etcd3. */
export interface Transport {
  range(request: IRangeRequest, call: UnaryCall): Promise<RangePage>
  txn(request: ITxnRequest, call: UnaryCall): Promise<TxnAnswer>
  grant(request: { TTL: number; ID: string }, call: UnaryCall): Promise<ILeaseGrantResponse>
  revoke(request: { ID: string }, call: UnaryCall): Promise<ILeaseRevokeResponse>
  /** A token for these credentials. */
  authenticate(auth: Auth, call: UnaryCall): Promise<string>
  /** Of ours, as the last connection used it. */
  readonly certificate: Buffer | undefined
  /** Passes a member over for a while. */
  markFailed(member: string): void
  /** The member that the last unary request went to. */
  readonly lastMember: string | undefined
  openWatch(token: Token): Promise<Opened<IWatchRequest, WatchMessage>>
  openKeepAlive(token: Token): Promise<Opened<ILeaseKeepAliveRequest, ILeaseKeepAliveResponse>>
  close(): void
}

/** gRPC's options for a request, the token that goes with it, and how long the answer may take to begin, in ms. */
export type UnaryCall = NonNullable<Parameters<KVClient['txn']>[1]> & {
  token?: Token
  patience?: number | undefined
}

/** Nothing came of an answer, over a connection that was there: behind one address another member may do better. */
export class NoAnswer extends Error {
  constructor(ms: number) {
    super(`4 DEADLINE_EXCEEDED: no answer within ${ms} ms`)
  }
}

/** How an answer is read. */
interface Reading<Response> {
  decode?(message: Buffer, times: AnswerTimes): Response
  /** Throws where it is none to this request. */
  check?(response: Response, member: string): void
}

interface UnaryRequest {
  cancel(): void
  /** `metadata`: the answer begins. */
  once(event: 'metadata', listener: (metadata: Metadata) => void): void
}

/** A client of gRPC, and what it has for each method of its service. */
interface RpcClient {
  makeUnaryRequest(...args: unknown[]): UnaryRequest
  makeBidiStreamRequest(...args: unknown[]): unknown
}
interface RpcMethod {
  path: string
  requestSerialize: unknown
  responseDeserialize(message: Buffer): unknown
}

interface Metadata {
  get(name: string): unknown[]
}

function contentType(metadata: Metadata): string | undefined {
  return metadata.get('content-type').map(String)[0]
}

/** An answer with the content type of something else, and with status 200: gRPC only says that it cannot read it. */
function foreignAnswer(type: string | undefined, error: Error): Error | undefined {
  if (type === undefined || type.startsWith('application/grpc')) return undefined
  if (error.message.includes('Received HTTP status code')) return undefined
  return new Error(`14 UNAVAILABLE: Received HTTP status code 200 and ${type}`, { cause: error })
}

/** gRPC's status where no answer came in time. */
const DEADLINE_EXCEEDED = 4

function methodOf(client: unknown, name: string): RpcMethod {
  return (client as Record<string, RpcMethod>)[name]!
}

/** Bytes of an answer about a lease or a token: etcd3's decoder makes objects of all that is in it. */
const MOST_OF_SMALL = 64 * 1024

const ifSmall = (deserialize: (message: Buffer) => unknown) => (message: Buffer) => {
  if (message.length > MOST_OF_SMALL) throw new InvalidAnswer(`it has ${message.length} bytes`)
  return deserialize(message)
}

const READ_PATH = '/etcdserverpb.KV/Range'
/** A RangeRequest of that key, linearizable: only a member that has a leader answers it. */
const SMALLEST_READ = Buffer.from([0x0a, 1, 0])

/** gRPC statuses that come without an answer of etcd: cancelled, deadline exceeded, unavailable. */
const NO_ANSWER: ReadonlySet<number> = new Set([1, 4, 14])

type Policy = NonNullable<NonNullable<IOptions['faultHandling']>['global']>

/** Loads etcd3 and builds its pool; connects to nobody yet. `holdsLease`: whether a lease is lost unless it is renewed. */
export async function openTransport(
  options: ResolvedEtcdOptions,
  holdsLease: () => boolean,
): Promise<Transport> {
  const { Etcd3, castGrpcError } = await loadClient()
  warnOfOldGrpc(options.logger)
  const members = new Map<string, Member>()
  let lastMember: string | undefined

  class Client extends Etcd3 {
    get rpc() {
      return this.pool
    }
  }

  const { ca, cert, key, serverName } = options.tls
  const client = new Client({
    hosts: options.hosts.map(host => `${options.secure ? 'https' : 'http'}://${host}`),
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
      ...OWN_CONNECTION,
      'grpc.initial_reconnect_backoff_ms': 100,
      'grpc.max_reconnect_backoff_ms': 500,
      'grpc.max_receive_message_length': MAX_MESSAGE,
      'grpc.service_config_disable_resolution': 1,
      // As Go does it.
      ...(serverName && isIP(serverName) === 0 && { 'grpc.default_authority': serverName }),
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

  const files = new TlsFiles(options.tls, options.logger)
  secureConnectors(client.rpc, options.tls, files)
  const channels = new Channels(client.rpc, holdsLease)

  /** As etcd3 does it, with our token and our decoder. */
  const unary = <Response>(
    service: 'KV' | 'Lease' | 'Auth',
    name: string,
    request: unknown,
    { token, patience, ...options }: UnaryCall,
    { check, decode }: Reading<Response> = {},
  ): Promise<Response> =>
    client.rpc.withConnection(service, ({ resource, client: rpc, metadata }) => {
      const { path, requestSerialize, responseDeserialize } = methodOf(rpc, name)
      const headers = metadata.clone()
      if (token?.value !== undefined) headers.set('token', token.value)
      const channel = rpc as unknown as RpcChannel
      const before = channels.received(channel)
      return new Promise<Response>((resolve, reject) => {
        let type: string | undefined
        let began = false
        const answered = (error: (Error & { code: number }) | null, response: Response) => {
          clearTimeout(waiting)
          if (error === null) {
            try {
              check?.(response, (resource.faultHandling as unknown as Member).name)
              return resolve(response)
            } catch (invalid) {
              return reject(invalid)
            }
          }
          const late = error.code === DEADLINE_EXCEEDED || canceled
          const silent = late && !began && channels.isReady(channel)
          if (late && channels.received(channel) === before) channels.replace(channel)
          const reason = foreignAnswer(type, error) ?? castGrpcError(error)
          reject(silent ? new NoAnswer(Math.round(performance.now() - sentAt)) : reason)
        }
        const { makeUnaryRequest } = rpc as unknown as RpcClient
        const sentAt = performance.now()
        let beganAt = sentAt
        const decodeTimed = (message: Buffer) => {
          const now = performance.now()
          return decode?.(message, { total: now - sentAt, transfer: now - beganAt })
        }
        const decoder = decode === undefined ? ifSmall(responseDeserialize) : decodeTimed
        const args = [path, requestSerialize, decoder, request, headers, options, answered]
        const call = makeUnaryRequest.call(rpc, ...args)
        call.once('metadata', metadata => {
          began = true
          beganAt = performance.now()
          type = contentType(metadata)
        })
        let canceled = false
        // gRPC's own deadline ends what is still connecting.
        const giveUp = () => {
          if (began || !channels.isReady(channel)) return
          canceled = true
          call.cancel()
        }
        const waiting = patience === undefined ? undefined : setTimeout(giveUp, patience)
      })
    })

  const openStream = <Request, Response>(
    service: 'Watch' | 'Lease',
    name: 'watch' | 'leaseKeepAlive',
    token: Token,
    decode?: (message: Buffer) => Response,
  ): Promise<Opened<Request, Response>> =>
    client.rpc.withConnection(service, ({ resource, client: rpc, metadata }) => {
      const headers = metadata.clone()
      headers.set('hasleader', 'true')
      if (token.value !== undefined) headers.set('token', token.value)
      const { path, requestSerialize, responseDeserialize } = methodOf(rpc, name)
      const { makeBidiStreamRequest } = rpc as unknown as RpcClient
      const stream = makeBidiStreamRequest.call(
        rpc,
        path,
        requestSerialize,
        decode ?? ifSmall(responseDeserialize),
        headers,
      ) as Duplex<Request, Response>
      let type: string | undefined
      stream.on('metadata', answer => {
        type = contentType(answer)
      })
      stream.on('error', error => {
        error.message = foreignAnswer(type, error)?.message ?? error.message
      })
      const answers = (timeout: number) =>
        new Promise<boolean>(resolve => {
          const answered = (error: { code: number } | null) =>
            resolve(error === null || !NO_ANSWER.has(error.code))
          const asIs = (message: Buffer) => message
          const options = { deadline: Date.now() + timeout }
          const { makeUnaryRequest } = rpc as unknown as RpcClient
          const read = [READ_PATH, asIs, asIs, SMALLEST_READ, metadata, options, answered]
          makeUnaryRequest.call(rpc, ...read)
        }).catch(() => false)
      return {
        stream,
        member: resource.faultHandling as unknown as Member,
        answers,
        replace: () => channels.replace(rpc as unknown as RpcChannel),
      }
    })

  return {
    range: (request, call) =>
      unary('KV', 'range', request, call, {
        decode: (message, times) => decodeRange(message, times, Number(request.limit ?? 0)),
        check(page, member) {
          page.member = member
          checkRange(page, request)
        },
      }),
    txn: (request, call) =>
      unary('KV', 'txn', request, call, { decode: message => decodeTxn(message, request) }),
    grant: (request, call) =>
      unary('Lease', 'leaseGrant', request, call, {
        check: answer => checkGrant(answer as unknown as DecodedGrant, request),
      }),
    revoke: (request, call) => unary('Lease', 'leaseRevoke', request, call),
    authenticate: async ({ username: name, password }, call) => {
      const check = checkToken
      const credentials = { name, password }
      const response = await unary<IAuthenticateResponse>('Auth', 'authenticate', credentials, call, {
        check,
      })
      return response.token
    },
    markFailed: member => members.get(member)?.markFailed(),
    get lastMember() {
      return lastMember
    },
    get certificate() {
      return files.certificate
    },
    openWatch: token => openStream('Watch', 'watch', token, decodeWatch),
    openKeepAlive: token => openStream('Lease', 'leaseKeepAlive', token),
    close: () => channels.close(),
  }
}
