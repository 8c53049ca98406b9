import type { Duplex } from 'node:stream'
import type { PeerCertificate, TlsOptions } from 'node:tls'
import { Server, ServerCredentials, ServerInterceptingCall, type ServerInterceptor } from '@grpc/grpc-js'
import { endpointUrl } from '../endpoint-url.ts'
import type { EtcdTlsOptions } from '../etcd-options.ts'
import { listenOnFreePort } from '../free-port.ts'
import { authService } from './auth-service.ts'
import type { Backend } from './backend.ts'
import { clusterService } from './cluster-service.ts'
import { electionService } from './election-service.ts'
import { kvService } from './kv-service.ts'
import { leaseService } from './lease-service.ts'
import { createListener, type Listener } from './listener.ts'
import { lockService } from './lock-service.ts'
import { maintenanceService } from './maintenance-service.ts'
import type { Service } from './rpc.ts'
import { createTlsFront } from './tls-front.ts'
import type { Traffic } from './traffic.ts'
import { watchService } from './watch-service.ts'

export interface EtcdServer {
  readonly endpoint: string
  readonly port: number
  readonly listener: Listener
  /** Once the listener is closed. */
  stop(): void
}

export interface ServerPlan {
  readonly host: string
  /** 0: a free one. */
  readonly port: number
  /** Undefined without TLS, as is the next. */
  readonly tls: EtcdTlsOptions | undefined
  readonly tlsServer: TlsOptions | undefined
  readonly traffic: Traffic
  readonly backend: () => Backend
}

export async function startServer(plan: ServerPlan): Promise<EtcdServer> {
  const { host, tls, tlsServer, traffic, backend } = plan
  const servers = new Map<unknown, GrpcServer>()

  /** Callers are known by the server that they reach: there is one for each name in a client certificate. */
  function accept(connection: Duplex, certificate?: PeerCertificate) {
    const name = certificate?.subject?.CN
    let server = servers.get(name)
    if (server === undefined) {
      server = createGrpcServer(services, certificate)
      servers.set(name, server)
    }
    server.inject(connection)
  }

  const listener =
    tlsServer === undefined
      ? createListener(host, 'http2', accept)
      : createListener(host, 'tls', createTlsFront(tlsServer, backend().rules.takesSlashesOverTls, accept))
  // Below those of outgoing connections, so that it is still free when this etcd starts again.
  const port = await listenOnFreePort(port => listener.listen(port), plan.port === 0 ? undefined : plan.port)
  const endpoint = endpointUrl(host, port, tls)
  const services = [
    kvService(backend, traffic),
    watchService(backend, traffic),
    leaseService(backend, traffic),
    authService(backend, traffic),
    clusterService(backend, traffic, endpoint),
    maintenanceService(backend, traffic),
    lockService(backend, traffic),
    electionService(backend, traffic),
  ]
  return {
    endpoint,
    port,
    listener,
    stop() {
      for (const server of servers.values()) server.stop()
    },
  }
}

interface GrpcServer {
  inject(connection: Duplex): void
  stop(): void
}

function createGrpcServer(
  services: readonly Service[],
  certificate: PeerCertificate | undefined,
): GrpcServer {
  const server = new Server({
    'grpc.max_receive_message_length': -1,
    ...(certificate && { interceptors: [calledWith(certificate)] }),
  })
  for (const { definition, implementation } of services) server.addService(definition, implementation)
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure())
  return {
    inject: connection => injector.injectConnection(connection),
    stop: () => server.forceShutdown(),
  }
}

/** Its calls have the certificate of whoever makes them, though gRPC itself sees no TLS. */
function calledWith(sslPeerCertificate: PeerCertificate): ServerInterceptor {
  return (_method, call) => {
    const certified = new ServerInterceptingCall(call)
    certified.getAuthContext = () => ({ transportSecurityType: 'ssl', sslPeerCertificate })
    return certified
  }
}
