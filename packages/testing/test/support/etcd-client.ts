import { createRequire } from 'node:module'
import {
  type ChannelCredentials,
  Client,
  type ClientDuplexStream,
  type ClientReadableStream,
  credentials,
  Metadata,
  type ServiceDefinition,
  type StatusObject,
} from '@grpc/grpc-js'
import { fromJSON, loadSync } from '@grpc/proto-loader'
import { NEWER, withNewer } from '../../src/embedded/newer.ts'

// biome-ignore lint/suspicious/noExplicitAny: answers are looked at field by field
export type Answer = any

/** Of etcd 3.4, and of what is newer. */
function methodsFor(options: object): [string, ServiceDefinition[string]][] {
  const rpcProto = createRequire(import.meta.url).resolve('etcd3/proto/rpc.proto')
  const proto = withNewer(loadSync(rpcProto, options), fromJSON(NEWER as never, options))
  return Object.entries(proto)
    .filter(([name]) => /^(etcdserverpb|v3lockpb|v3electionpb)\.[A-Z]\w+$/.test(name))
    .flatMap(([, service]) => Object.entries(service as ServiceDefinition))
}

const methods = methodsFor({ keepCase: true, longs: String, enums: String, defaults: true, arrays: true })

/** Messages with the fields alone that were sent. */
const bare = new Map(methodsFor({ keepCase: true, longs: String, enums: String }))

const methodOf = (rpc: string) => methods.find(([name]) => name === rpc)![1]

/** A client of etcd that adds nothing to the messages. Bytes may be given as text. */
export interface EtcdClient {
  /** Rejects with gRPC's `code` and `details`, with 4 after `patience` ms, default 30,000. */
  call(rpc: string, request?: object, token?: string, patience?: number): Promise<Answer>
  /** The same, and the answer has only those fields that were sent. */
  callBare(rpc: string, request?: object, token?: string): Promise<Answer>
  stream(rpc: string, token?: string): EtcdStream
  /** The messages that one request is answered with, then gRPC's status. */
  feed(rpc: string, request: object, token?: string): EtcdStream
  close(): void
}

export interface EtcdStream {
  send(request: object): void
  /** The next message, or gRPC's status once the stream has ended. */
  next(): Promise<Answer>
  /** All further messages until one of them is the last. */
  until(isLast: (message: Answer) => boolean): Promise<Answer[]>
  /** Ends what goes out. */
  end(): void
  cancel(): void
  /** Reads nothing more from the connection, so that the sender has to stop. */
  pause(): void
  resume(): void
}

/** What a client over TLS takes; each part may be missing. */
export interface ClientTls {
  ca?: string
  cert?: string
  key?: string
}

export function secureChannel({ ca, cert, key }: ClientTls): ChannelCredentials {
  const buffer = (pem: string | undefined) => (pem === undefined ? null : Buffer.from(pem))
  return credentials.createSsl(buffer(ca), buffer(key), buffer(cert))
}

export function etcdClient(
  endpoint: string,
  channel: ChannelCredentials = credentials.createInsecure(),
): EtcdClient {
  const client = new Client(endpoint.replace(/^https?:\/\//, ''), channel, {
    'grpc.max_receive_message_length': -1,
    'grpc.use_local_subchannel_pool': 1,
  })
  function unary(method: ServiceDefinition[string], request: object, token?: string, patience = 30_000) {
    const { path, requestSerialize, responseDeserialize } = method
    return new Promise<Answer>((resolve, reject) => {
      const done = (error: Error | null, answer?: Answer) => (error ? reject(error) : resolve(answer))
      const args = [bytes(request), metadataOf(token), { deadline: Date.now() + patience }, done] as const
      client.makeUnaryRequest(path, requestSerialize, responseDeserialize, ...args)
    })
  }
  return {
    call: (rpc, request = {}, token, patience) => unary(methodOf(rpc), request, token, patience),
    callBare: (rpc, request = {}, token) => unary(bare.get(rpc)!, request, token),
    feed(rpc, request, token) {
      const { path, requestSerialize, responseDeserialize } = methodOf(rpc)
      const args = [bytes(request), metadataOf(token)] as const
      return queue(client.makeServerStreamRequest(path, requestSerialize, responseDeserialize, ...args))
    },
    stream(rpc, token) {
      const { path, requestSerialize, responseDeserialize } = methodOf(rpc)
      return queue(
        client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize, metadataOf(token)),
      )
    },
    close: () => client.close(),
  }
}

function queue(stream: ClientDuplexStream<object, object> | ClientReadableStream<object>): EtcdStream {
  const waiting: Answer[] = []
  let wake = () => {}
  const add = (message: Answer) => {
    waiting.push(message)
    wake()
  }
  stream.on('data', add)
  stream.on('error', () => {})
  stream.on('status', ({ code, details }: StatusObject) => add({ code, details }))
  const self: EtcdStream = {
    send: request => void (stream as ClientDuplexStream<object, object>).write(bytes(request)),
    async next() {
      if (waiting.length === 0) {
        await new Promise<void>(resolve => {
          wake = resolve
        })
      }
      return waiting.shift()
    },
    async until(isLast) {
      const messages = []
      do messages.push(await self.next())
      while (!isLast(messages.at(-1)))
      return messages
    },
    end: () => (stream as ClientDuplexStream<object, object>).end(),
    cancel: () => stream.cancel(),
    pause: () => stream.pause(),
    resume: () => stream.resume(),
  }
  return self
}

const BYTES = new Set(['key', 'range_end', 'value', 'name'])

/** With bytes where text was given for them. */
function bytes(message: Answer): Answer {
  if (Array.isArray(message)) return message.map(bytes)
  if (typeof message !== 'object' || message === null || Buffer.isBuffer(message)) return message
  return Object.fromEntries(
    Object.entries(message).map(([name, value]) => [
      name,
      typeof value === 'string' && BYTES.has(name) ? Buffer.from(value) : bytes(value),
    ]),
  )
}

function metadataOf(token: string | undefined): Metadata {
  const metadata = new Metadata()
  if (token !== undefined) metadata.set('token', token)
  return metadata
}
