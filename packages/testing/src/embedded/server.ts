import { Server, type ServerCredentials } from '@grpc/grpc-js'
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
  readonly credentials: ServerCredentials
  /** Undefined without TLS. */
  readonly tls: EtcdTlsOptions | undefined
  readonly traffic: Traffic
  readonly backend: () => Backend
}

export async function startServer(plan: ServerPlan): Promise<EtcdServer> {
  const { host, credentials, traffic, backend } = plan
  const server = new Server({ 'grpc.max_receive_message_length': -1 })
  const injector = server.createConnectionInjector(credentials)
  const listener = createListener(host, plan.tls !== undefined, socket => injector.injectConnection(socket))
  // Below those of outgoing connections, so that it is still free when this etcd starts again.
  const port = await listenOnFreePort(port => listener.listen(port), plan.port === 0 ? undefined : plan.port)
  const endpoint = endpointUrl(host, port, plan.tls)
  for (const { definition, implementation } of [
    kvService(backend, traffic),
    watchService(backend, traffic),
    leaseService(backend, traffic),
    authService(backend, traffic),
    clusterService(backend, traffic, endpoint),
    maintenanceService(backend, traffic),
    lockService(backend, traffic),
    electionService(backend, traffic),
  ]) {
    server.addService(definition, implementation)
  }
  return {
    endpoint,
    port,
    listener,
    stop: () => server.forceShutdown(),
  }
}
