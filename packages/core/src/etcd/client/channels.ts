import type { Socket } from 'node:net'
import { Connecting, type Connector } from './connecting.ts'

/** gRPC's name for the state in which a channel has a connection. */
const READY = 2

/** A client of gRPC for one service. */
export interface Client {
  getChannel(): { getConnectivityState(connect: boolean): number }
  close(): void
}

/** etcd3's object for a member. */
interface Host {
  cachedServices: Record<string, Client | undefined>
  getServiceClient(service: string): Client
  resetAllServices(): void
}

interface SubchannelPool {
  getOrCreateSubchannel(...args: unknown[]): { connector?: Connector }
}

/** The connection of one channel. */
interface Wire {
  socket: Socket | undefined
  readonly connecting: Set<Connecting>
}

/** Options of a channel that nobody else in the process shares, and that no proxy of the environment gets to see. */
export const OWN_CONNECTION = {
  'grpc.use_local_subchannel_pool': 1,
  'grpc.enable_http_proxy': 0,
  'grpc.enable_channelz': 0,
} as const

/**
 * The channels of a pool of etcd3: for each member one for each service, with a connection of its own. Closing one
 * destroys what it is still connecting.
 */
export class Channels {
  readonly #hosts: readonly Host[]
  readonly #wires = new Map<Client, Wire>()

  /** `holdsLease`: whether a lease is lost unless it is renewed. */
  constructor(pool: object, holdsLease: () => boolean) {
    this.#hosts = (pool as { hosts: Host[] }).hosts
    for (const host of this.#hosts) {
      const create = host.getServiceClient
      host.getServiceClient = service => {
        const client = create.call(host, service)
        if (!this.#wires.has(client)) this.#wires.set(client, wireOf(client, holdsLease))
        return client
      }
      // After any error etcd3 closes all channels of a member; gRPC connects again by itself.
      host.resetAllServices = () => {}
    }
  }

  /** Bytes that came in over the connection so far. */
  received(client: Client): number {
    return this.#wires.get(client)?.socket?.bytesRead ?? 0
  }

  isReady(client: Client): boolean {
    return client.getChannel().getConnectivityState(false) === READY
  }

  /** The next request gets a new connection, where this one seems to be dead. Streams on it go on. */
  replace(client: Client): void {
    if (!this.isReady(client)) return
    for (const host of this.#hosts) {
      for (const [service, cached] of Object.entries(host.cachedServices)) {
        if (cached === client) delete host.cachedServices[service]
      }
    }
    this.#close(client)
  }

  close(): void {
    for (const client of this.#wires.keys()) this.#close(client)
  }

  #close(client: Client): void {
    client.close()
    for (const connecting of this.#wires.get(client)?.connecting ?? []) connecting.cancel()
    this.#wires.delete(client)
  }
}

function wireOf(client: Client, holdsLease: () => boolean): Wire {
  const wire: Wire = { socket: undefined, connecting: new Set() }
  const channel = client.getChannel() as { internalChannel?: { subchannelPool?: SubchannelPool } }
  const pool = channel.internalChannel?.subchannelPool
  if (pool === undefined) return wire
  const create = pool.getOrCreateSubchannel
  pool.getOrCreateSubchannel = (...args) => {
    const subchannel = create.apply(pool, args)
    const { connector } = subchannel
    if (connector === undefined || Object.hasOwn(connector, 'connect')) return subchannel
    const original: Connector = Object.assign(Object.create(Object.getPrototypeOf(connector)), connector)
    const connecting = new Connecting(original, {
      holdsLease,
      established: socket => {
        wire.socket = socket
      },
    })
    wire.connecting.add(connecting)
    connector.connect = (...destination) => connecting.connect(...destination)
    return subchannel
  }
  return wire
}
