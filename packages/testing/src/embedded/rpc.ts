import {
  type Metadata,
  type ServerDuplexStream,
  type ServiceDefinition,
  type ServiceError,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { EtcdError, refused } from './errors.ts'
import type { Traffic } from './traffic.ts'
import { serviceDefinition } from './wire.ts'

/** etcd's limit of 1.5 MiB, less what it puts around a request. */
const MAX_REQUEST = 1.5 * 1024 * 1024 - 20
const TOO_LARGE = Symbol('too large')

/** Answers one request; what it throws is the refusal. */
// biome-ignore lint/suspicious/noExplicitAny: proto-loader's messages have no types
export type Unary = (request: any, metadata: Metadata) => object

/** Serves one stream. What it throws ends the stream. */
// biome-ignore lint/suspicious/noExplicitAny: as above
export type Stream = (call: Duplex<any>) => StreamHandler

export interface StreamHandler {
  // biome-ignore lint/suspicious/noExplicitAny: as above
  receive(message: any): void
  /** The stream is over. */
  end?(): void
  drained?(): void
  /** A client that sends nothing more may still be told something. */
  readonly outlivesInput?: boolean
}

export interface Duplex<Answer> {
  readonly metadata: Metadata
  /** Returns false where the peer is slow: `drained` is called once it takes more. */
  send(answer: Answer): boolean
}

/** One of etcd's services: its definition, and what carries it out. */
export interface Service {
  readonly definition: ServiceDefinition
  readonly implementation: UntypedServiceImplementation
}

/** Puts a service together from what its methods do; others are `UNIMPLEMENTED`. */
export function service(
  name: string,
  traffic: Traffic,
  unary: Readonly<Record<string, Unary>>,
  streams: Readonly<Record<string, Stream>> = {},
): Service {
  const implementation: UntypedServiceImplementation = {}
  for (const [rpc, handle] of Object.entries(unary)) {
    implementation[rpc] = (
      { request, metadata }: { request: unknown; metadata: Metadata },
      callback: (error: Partial<ServiceError> | null, answer?: object) => void,
    ) => {
      let answer: object
      try {
        traffic.arrive(rpc)
        if (request === TOO_LARGE) throw refused('tooLarge')
        answer = handle(request, metadata)
      } catch (error) {
        return callback(failure(error))
      }
      callback(null, answer)
    }
  }
  for (const [rpc, handle] of Object.entries(streams)) {
    implementation[rpc] = (call: ServerDuplexStream<object, object>) => serve(rpc, traffic, call, handle)
  }
  traffic.serves(Object.keys(implementation))
  return { definition: limited(serviceDefinition(name)), implementation }
}

/** A definition whose requests are not even read where they are too large for etcd. */
function limited(definition: ServiceDefinition): ServiceDefinition {
  return Object.fromEntries(
    Object.entries(definition).map(([rpc, method]) => {
      const read = method.requestDeserialize
      const requestDeserialize = (bytes: Buffer) => (bytes.length > MAX_REQUEST ? TOO_LARGE : read(bytes))
      return [rpc, method.requestStream ? method : { ...method, requestDeserialize }]
    }),
  )
}

function serve(rpc: string, traffic: Traffic, call: ServerDuplexStream<object, object>, handle: Stream) {
  const closed = traffic.open(rpc)
  let handler: StreamHandler | undefined

  function finish() {
    closed()
    handler?.end?.()
    handler = undefined
  }

  function attempt(step: () => void) {
    try {
      step()
    } catch (error) {
      finish()
      call.emit('error', failure(error))
    }
  }

  call.once('cancelled', finish)
  call.once('error', finish)
  attempt(() => {
    traffic.arrive(rpc)
    handler = handle({ metadata: call.metadata, send: answer => call.writable && call.write(answer) })
  })
  call.on('data', message => attempt(() => handler?.receive(message)))
  call.on('drain', () => handler?.drained?.())
  call.once('end', () => {
    if (handler?.outlivesInput) return
    finish()
    call.end()
  })
}

function failure(error: unknown): Partial<ServiceError> {
  const { message } = error as Error
  return { code: error instanceof EtcdError ? error.code : status.INTERNAL, details: message, message }
}
