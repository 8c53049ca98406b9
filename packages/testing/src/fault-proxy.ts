import { connect, createServer, type Socket } from 'node:net'
import { urlHere } from './endpoint-url.ts'
import { type Flow, type LinkState, resetSocket, startFlow } from './fault-flow.ts'
import { listenOnFreePort } from './free-port.ts'
import { Pacer } from './pacer.ts'
import { checkWhole } from './whole-number.ts'

/** `up` is towards the target, `down` towards the client. */
export type FaultDirection = 'both' | 'up' | 'down'

/** Options of {@link startFaultProxy}. */
export interface FaultProxyOptions {
  /** Port on 127.0.0.1 to listen on; a free one by default. */
  port?: number | undefined
}

/** A TCP link whose faults a test decides. It does not keep the process alive. */
export interface FaultProxy extends AsyncDisposable {
  /** URL to connect to, with the protocol of the target: TLS passes through untouched. */
  readonly endpoint: string
  readonly port: number
  /** Connections of clients that are open now. */
  readonly connections: number
  /** Connections of clients that were accepted since the start, those that are closed included. */
  readonly accepted: number
  /** Accepted connections that got nothing but silence from `mute()`, since the start. */
  readonly muted: number
  /** Bytes that were passed on since the start: `up` to the target, `down` to clients. */
  readonly bytes: { readonly up: number; readonly down: number }
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
  /**
   * Limits each direction to so many bytes per second, which all connections share in equal turns. At most 32 KiB of each
   * connection wait in the proxy, and what the kernel's buffers take (some MB for a sender that does not stop by itself),
   * so a sender is slowed down as by a real link. 0 and `Infinity` end it.
   */
  throttle(bytesPerSecond: number): void
  /**
   * Accepts new connections and never says anything on them, nor connects to the target for them, as a balancer without
   * a backend does. They stay mute for ever, also after `restore()`; connections that are open go on. `connections`:
   * how many of the next ones, by default all until `restore()`; 0 ends it.
   */
  mute(options?: { connections?: number }): void
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

  const up: LinkState = { frozen: false, delay: 0, passed: 0 }
  const down: LinkState = { frozen: false, delay: 0, passed: 0 }
  const connections = new Set<Connection>()
  const mute = new Set<Socket>()
  let accepted = 0
  let muted = 0
  /** How many of the next connections will be mute. */
  let muteNext = 0
  let callOff = () => {}
  let stopped = false

  const server = createServer({ allowHalfOpen: true, noDelay: true }, client => {
    accepted += 1
    if (muteNext > 0) return silence(client)
    const socket = connect({ host: targetHost, port: targetPort, allowHalfOpen: true, noDelay: true })
    const flows = [startFlow(client, socket, up), startFlow(socket, client, down)]
    const connection = { client, target: socket, flows }
    connections.add(connection)
    const forget = () => {
      if (client.destroyed && socket.destroyed) connections.delete(connection)
    }
    client.unref().once('close', forget)
    // of several addresses of a name, each has a handle of its own
    socket
      .unref()
      .once('connect', () => socket.unref())
      .once('close', forget)
  })
  server.unref()

  function silence(client: Socket) {
    muteNext -= 1
    muted += 1
    mute.add(client)
    // what comes is read, so that its end is noticed
    client
      .unref()
      .resume()
      .on('error', () => {})
      .once('end', () => client.destroy())
      .once('close', () => mute.delete(client))
  }

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
    for (const client of mute) resetSocket(client)
  }

  function pace(bytesPerSecond: number) {
    for (const link of [up, down]) {
      link.pacer?.stop()
      const limited = bytesPerSecond > 0 && bytesPerSecond < Number.POSITIVE_INFINITY
      link.pacer = limited ? new Pacer(bytesPerSecond) : undefined
    }
    pump()
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
    endpoint: urlHere(url, port),
    port,
    get connections() {
      return [...connections].filter(({ client }) => !client.destroyed).length + mute.size
    },
    get accepted() {
      return accepted
    },
    get muted() {
      return muted
    },
    get bytes() {
      return { up: up.passed, down: down.passed }
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
    throttle(bytesPerSecond) {
      if (!(bytesPerSecond >= 0)) {
        throw new RangeError(`bytesPerSecond has to be a number from 0 on, not ${bytesPerSecond}`)
      }
      pace(bytesPerSecond)
    },
    mute({ connections: next = Number.POSITIVE_INFINITY } = {}) {
      if (next !== Number.POSITIVE_INFINITY) checkWhole('connections', next, 0)
      muteNext = next
    },
    async restore() {
      if (stopped) throw new Error('The fault proxy is stopped')
      callOff()
      up.frozen = down.frozen = false
      up.delay = down.delay = 0
      muteNext = 0
      pace(0)
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
