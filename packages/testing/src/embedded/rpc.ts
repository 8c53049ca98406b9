import {
  type ServerDuplexStream,
  type ServerUnaryCall,
  type ServiceDefinition,
  type ServiceError,
  status,
  type UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { type Access, everything } from './access.ts'
import type { Backend } from './backend.ts'
import { EtcdError, refused } from './errors.ts'
import type { Traffic } from './traffic.ts'
import { serviceDefinition } from './wire.ts'

/** etcd's limit of 1.5 MiB, less what it puts around a request. */
const MAX_REQUEST = 1.5 * 1024 * 1024 - 20
const TOO_LARGE = Symbol('too large')

/** RPCs that look at nobody's token. */
const OPEN = new Set(['Status', 'MemberList', 'LeaseLeases', 'LeaseTimeToLive'])

/** Answers one request of somebody; what it throws is the refusal. */
// biome-ignore lint/suspicious/noExplicitAny: proto-loader's messages have no types
export type Unary = (request: any, access: Access) => object

/** Serves one stream. What it throws ends the stream. */
// biome-ignore lint/suspicious/noExplicitAny: as above
export type Stream = (call: Duplex<any>) => StreamHandler

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
  backend: () => Backend,
  unary: Readonly<Record<string, Unary>>,
  streams: Readonly<Record<string, Stream>> = {},
): Service {
  const implementation: UntypedServiceImplementation = {}
  for (const [rpc, handle] of Object.entries(unary)) {
    implementation[rpc] = (
      call: ServerUnaryCall<unknown, object>,
      callback: (error: Partial<ServiceError> | null, answer?: object) => void,
    ) => {
      let answer: object
      try {
        traffic.arrive(rpc)
        if (call.request === TOO_LARGE) throw refused('tooLarge')
        answer = handle(call.request, OPEN.has(rpc) ? everything : accessOf(call, backend()))
      } catch (error) {
        return callback(failure(error))
      }
      callback(null, answer)
    }
  }
  for (const [rpc, handle] of Object.entries(streams)) {
    implementation[rpc] = (call: ServerDuplexStream<object, object>) => {
      serve(rpc, traffic, call, ({ send }) => handle({ send, access: () => accessOf(call, backend()) }))
    }
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

type Send = Duplex<object>['send']

function serve(
  rpc: string,
  traffic: Traffic,
  call: ServerDuplexStream<object, object>,
  handle: (call: { send: Send }) => StreamHandler,
) {
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
    handler = handle({ send: answer => call.writable && call.write(answer) })
  })
  call.on('data', message => {
    traffic.receive(rpc)
    attempt(() => handler?.receive(message))
  })
  call.on('drain', () => handler?.drained?.())
  call.once('end', () => {
    if (handler?.outlivesInput) return
    finish()
    call.end()
  })
}

/** Who calls says its token, or else the name in its certificate. */
function accessOf(call: Caller, { auth }: Backend): Access {
  const token = call.metadata.get('token')[0] ?? call.metadata.get('authorization')[0]
  if (token !== undefined) return auth.accessOf(token.toString())
  if (!auth.enabled) return everything
  const name = call.getAuthContext().sslPeerCertificate?.subject?.CN
  return name === undefined ? auth.accessOf(undefined) : auth.accessOfUser(String(name))
}

type Caller = Pick<ServerUnaryCall<unknown, object>, 'metadata' | 'getAuthContext'>

function failure(error: unknown): Partial<ServiceError> {
  const { message } = error as Error
  return { code: error instanceof EtcdError ? error.code : status.INTERNAL, details: message, message }
}
