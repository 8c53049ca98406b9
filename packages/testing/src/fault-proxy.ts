import { connect, createServer, type Socket } from 'node:net'
import { type Flow, type LinkState, resetSocket, startFlow } from './fault-flow.ts'
import { listenOnFreePort } from './free-port.ts'

/** `up` is towards the target, `down` towards the client. */
export type FaultDirection = 'both' | 'up' | 'down'

/** Options of {@link startFaultProxy}. */
export interface FaultProxyOptions {
  /** Port on 127.0.0.1 to listen on; a free one by default. */
  port?: number
}

/** A TCP link whose faults a test decides. It does not keep the process alive. */
export interface FaultProxy extends AsyncDisposable {
  /** URL to connect to, with the protocol of the target: TLS passes through untouched. */
  readonly endpoint: string
  readonly port: number
  /** Connections of clients that are open now. */
  readonly connections: number
  /** Resets all connections and refuses new ones. */
  cut(): Promise<void>
  /** Resets all connections, goes on accepting new ones. */
  drop(): void
  /**
   * Ends all connections once this many further bytes, counted over all of them, went to clients; new ones are
   * accepted. Resolves when that happened, or when `restore()`, `cut()`, `drop()` or `stop()` called it off.
   */
  cutAfter(bytes: number): Promise<void>
  /** Holds all bytes, ends and resets of a direction (default both); new connections are accepted and hang. */
  freeze(direction?: FaultDirection): void
  /** Delays each direction by so many milliseconds; 0 ends it. */
  delay(ms: number): void
  /** Ends every fault: listens, delivers what was held, in order and without delay. */
  restore(): Promise<void>
  /** Resets all connections and frees the port. Can be called again. */
  stop(): Promise<void>
}

interface Connection {
  readonly client: Socket
  readonly target: Socket
  readonly flows: readonly Flow[]
}

/** Starts a TCP proxy on 127.0.0.1 in front of a URL or of anything with an `endpoint`. */
export async function startFaultProxy(
  target: string | { readonly endpoint: string },
  options: FaultProxyOptions = {},
): Promise<FaultProxy> {
  const url = new URL(typeof target === 'string' ? target : target.endpoint)
  const targetPort = Number(url.port !== '' ? url.port : url.protocol === 'https:' ? 443 : 80)
  const targetHost = url.hostname.replace(/^\[|\]$/g, '')

  const up: LinkState = { frozen: false, delay: 0 }
  const down: LinkState = { frozen: false, delay: 0 }
  const connections = new Set<Connection>()
  let callOff = () => {}
  let stopped = false

  const server = createServer({ allowHalfOpen: true, noDelay: true }, client => {
    const socket = connect({ host: targetHost, port: targetPort, allowHalfOpen: true, noDelay: true })
    const flows = [startFlow(client, socket, up), startFlow(socket, client, down)]
    const connection = { client, target: socket, flows }
    connections.add(connection)
    const forget = () => {
      if (client.destroyed && socket.destroyed) connections.delete(connection)
    }
    client.unref().once('close', forget)
    socket.unref().once('close', forget)
  })
  server.unref()

  function listen(port: number): Promise<void> {
    if (server.listening) return Promise.resolve()
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen({ port, host: '127.0.0.1' }, () => {
        server.off('error', reject)
        resolve()
      })
    })
  }

  function end(close: (connection: Connection) => void) {
    for (const connection of connections) {
      for (const flow of connection.flows) flow.dispose()
      close(connection)
    }
  }

  function reset() {
    callOff()
    end(({ client, target: socket }) => {
      resetSocket(client)
      resetSocket(socket)
    })
  }

  function pump() {
    for (const { flows } of connections) for (const flow of flows) flow.pump()
  }

  async function refuse() {
    const closed = server.listening ? new Promise(resolve => server.close(resolve)) : undefined
    reset()
    await closed
  }

  const port = await listenOnFreePort(listen, options.port)

  const proxy: FaultProxy = {
    endpoint: `${url.protocol}//127.0.0.1:${port}`,
    port,
    get connections() {
      return [...connections].filter(({ client }) => !client.destroyed).length
    },
    cut: refuse,
    drop: reset,
    cutAfter(bytes) {
      callOff()
      let left = bytes
      return new Promise(resolve => {
        callOff = () => {
          down.allow = undefined
          callOff = () => {}
          resolve()
        }
        const happen = () => {
          if (left > 0 || down.allow !== allow) return
          // what was allowed to pass shall arrive: a reset could overtake it
          end(({ client, target: socket }) => {
            client.destroySoon()
            resetSocket(socket)
          })
          callOff()
        }
        const allow = (size: number) => {
          const allowed = Math.min(size, left)
          left -= allowed
          if (left === 0) queueMicrotask(happen)
          return allowed
        }
        down.allow = allow
        happen()
      })
    },
    freeze(direction = 'both') {
      if (direction !== 'down') up.frozen = true
      if (direction !== 'up') down.frozen = true
    },
    delay(ms) {
      up.delay = down.delay = ms
      pump()
    },
    async restore() {
      if (stopped) throw new Error('The fault proxy is stopped')
      callOff()
      up.frozen = down.frozen = false
      up.delay = down.delay = 0
      pump()
      await listen(port)
    },
    async stop() {
      stopped = true
      await refuse()
    },
    [Symbol.asyncDispose]: () => proxy.stop(),
  }
  return proxy
}
