import {
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServerWritableStream,
  type ServiceDefinition,
  type ServiceError,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import type { Access } from './access.ts'
import type { Backend } from './backend.ts'
import { EtcdError } from './errors.ts'
import type { Traffic } from './traffic.ts'
import { serviceDefinition, withoutDefaults } from './wire.ts'

/** Bytes that etcd puts around a request before it compares its size with `--max-request-bytes`. */
const ENVELOPE = 20

/** Bytes by which a gRPC message may be larger than `--max-request-bytes`. */
const MESSAGE_OVERHEAD = 512 * 1024

/** Answers one request of somebody; what it throws is the refusal. The signal is aborted once nobody waits any more. */
export type Unary = (
  // biome-ignore lint/suspicious/noExplicitAny: proto-loader's messages have no types
  request: any,
  access: Access,
  signal: () => AbortSignal,
) => object | Promise<object>

/** Serves one stream. What it throws ends the stream. */
// biome-ignore lint/suspicious/noExplicitAny: as above
type Stream = (call: Duplex<any>) => StreamHandler

/** Answers one request with a stream that ends when this returns, or with what this throws. */
type Feed = (
  // biome-ignore lint/suspicious/noExplicitAny: as above
  request: any,
  access: Access,
  /** Resolves once the peer takes more. */
  send: (answer: object) => Promise<void>,
  signal: AbortSignal,
) => Promise<void>

interface StreamHandler {
  // biome-ignore lint/suspicious/noExplicitAny: as above
  receive(message: any): void
  /** The stream is over. */
  end?(): void
  drained?(): void
  /** A client that sends nothing more may still be told something. */
  readonly outlivesInput?: boolean
}

export interface Duplex<Answer> {
  /** What the caller may do at this moment. */
  access(): Access
  /** Returns false where the peer is slow: `drained` is called once it takes more. */
  send(answer: Answer): boolean
  /** Ends the stream. */
  fail(error: unknown): void
}

/** One of etcd's services: its definition, and what carries it out. */
export interface Service {
  readonly definition: ServiceDefinition
  readonly implementation: UntypedServiceImplementation
}

interface Kinds {
  readonly unary?: Readonly<Record<string, Unary>>
  readonly streams?: Readonly<Record<string, Stream>>
  readonly feeds?: Readonly<Record<string, Feed>>
}

type Callback = (error: Partial<ServiceError> | null, answer?: object) => void

/** Puts a service together from what its methods do; others are `UNIMPLEMENTED`. */
export function service(
  name: string,
  traffic: Traffic,
  backend: () => Backend,
  { unary = {}, streams = {}, feeds = {} }: Kinds,
): Service {
  const definition = serviceDefinition(name)
  const maxMessage = backend().maxRequestBytes + MESSAGE_OVERHEAD
  const implementation: UntypedServiceImplementation = {}
  for (const [rpc, handle] of Object.entries(unary)) {
    implementation[rpc] = (call: ServerUnaryCall<Incoming, object>, callback: Callback) => {
      const fail = (error: unknown) => callback(failure(error))
      try {
        traffic.arrive(rpc)
        const answer = handle(read(call.request), accessOf(call, call.request, backend()), () =>
          signalOf(call),
        )
        if (answer instanceof Promise) answer.then(answer => callback(null, answer), fail)
        else callback(null, answer)
      } catch (error) {
        fail(error)
      }
    }
  }
  for (const [rpc, handle] of Object.entries(streams)) {
    implementation[rpc] = (call: ServerDuplexStream<Incoming, object>) =>
      serve(rpc, traffic, call, backend, handle)
  }
  for (const [rpc, handle] of Object.entries(feeds)) {
    implementation[rpc] = (call: ServerWritableStream<Incoming, object>) =>
      feed(rpc, traffic, call, backend, handle)
  }
  for (const rpc of backend().rules.lacks) delete implementation[rpc]
  traffic.serves(Object.keys(implementation))
  for (const [rpc, { path, responseStream }] of Object.entries(definition)) {
    implementation[rpc] ??= unknownMethod(path, responseStream)
  }
  return { definition: asEtcd(definition, maxMessage), implementation }
}

function unknownMethod(path: string, responseStream: boolean) {
  const [, service, rpc] = path.split('/')
  const error = new EtcdError(status.UNIMPLEMENTED, `unknown method ${rpc} for service ${service}`)
  return responseStream
    ? (call: ServerWritableStream<unknown, unknown>) => call.emit('error', failure(error))
    : (_: unknown, callback: Callback) => callback(failure(error))
}

/** A request with its size; one that is too large for gRPC was not read. */
interface Incoming {
  readonly size: number
  readonly maxSize: number
  readonly message: object | undefined
}

function asEtcd(definition: ServiceDefinition, maxSize: number): ServiceDefinition {
  return Object.fromEntries(
    Object.entries(definition).map(([rpc, method]) => {
      const requestDeserialize = (bytes: Buffer): Incoming => ({
        size: bytes.length,
        maxSize,
        message: bytes.length > maxSize ? undefined : method.requestDeserialize(bytes),
      })
      const responseSerialize = (answer: object) => method.responseSerialize(withoutDefaults(answer))
      return [rpc, { ...method, requestDeserialize, responseSerialize }]
    }),
  )
}

function read({ size, maxSize, message }: Incoming): object {
  if (message !== undefined) return message
  const text = `grpc: received message larger than max (${size} vs. ${maxSize})`
  throw new EtcdError(status.RESOURCE_EXHAUSTED, text)
}

function signalOf(call: { once(event: 'cancelled', listener: () => void): unknown }): AbortSignal {
  const controller = new AbortController()
  call.once('cancelled', () => controller.abort())
  return controller.signal
}

function serve(
  rpc: string,
  traffic: Traffic,
  call: ServerDuplexStream<Incoming, object>,
  backend: () => Backend,
  handle: Stream,
) {
  const closed = traffic.open(rpc)
  let handler: StreamHandler | undefined

  function finish() {
    closed()
    handler?.end?.()
    handler = undefined
  }

  function fail(error: unknown) {
    finish()
    call.emit('error', failure(error))
  }

  function attempt(step: () => void) {
    try {
      step()
    } catch (error) {
      fail(error)
    }
  }

  call.once('cancelled', finish)
  call.once('error', finish)
  attempt(() => {
    traffic.arrive(rpc)
    handler = handle({
      send: answer => call.writable && call.write(answer),
      access: () => accessOf(call, undefined, backend()),
      fail,
    })
  })
  call.on('data', message => {
    traffic.receive(rpc)
    attempt(() => handler?.receive(read(message)))
  })
  call.on('drain', () => handler?.drained?.())
  call.once('end', () => {
    if (handler?.outlivesInput) return
    finish()
    call.end()
  })
}

function feed(
  rpc: string,
  traffic: Traffic,
  call: ServerWritableStream<Incoming, object>,
  backend: () => Backend,
  handle: Feed,
) {
  const closed = traffic.open(rpc)
  const signal = signalOf(call)
  async function send(answer: object) {
    if (!call.writable || call.write(answer)) return
    await new Promise(resolve => {
      call.once('drain', resolve)
      signal.addEventListener('abort', resolve, { once: true })
    })
  }
  async function run() {
    traffic.arrive(rpc)
    await handle(read(call.request), accessOf(call, call.request, backend()), send, signal)
  }
  void run()
    .then(
      () => call.end(),
      error => call.emit('error', failure(error)),
    )
    .finally(closed)
}

/** Who calls says its token, or else the name in its certificate. */
function accessOf(call: Caller, request: Incoming | undefined, backend: Backend): Access {
  const token = call.metadata.get('token')[0] ?? call.metadata.get('authorization')[0]
  const name = call.getAuthContext().sslPeerCertificate?.subject?.CN
  return backend.auth.accessOf(
    {
      token: token?.toString().replace(/^Bearer /, ''),
      certified: name === undefined ? undefined : String(name),
    },
    request !== undefined && request.size > backend.maxRequestBytes - ENVELOPE,
  )
}

type Caller = Pick<ServerUnaryCall<unknown, object>, 'metadata' | 'getAuthContext'>

function failure(error: unknown): Partial<ServiceError> {
  const { message } = error as Error
  return { code: error instanceof EtcdError ? error.code : status.INTERNAL, details: message, message }
}
