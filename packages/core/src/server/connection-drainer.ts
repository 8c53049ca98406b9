import type { EventEmitter } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ServerHttp2Session } from 'node:http2'
import type { Server, Socket } from 'node:net'
import { Server as TlsServer } from 'node:tls'

/** Between two looks for connections that fell idle, in ms: an idle keep-alive connection holds a closing server for seconds. */
const IDLE_POLL = 50

/** `http` and `https` servers know which of their connections are idle; those of `http2` and `net` do not. */
type AnyServer = Server & { closeIdleConnections?(): void; closeAllConnections?(): void }

/** What Node keeps on a socket while it answers a request: https://github.com/nodejs/node/blob/main/lib/_http_outgoing.js */
type AnsweringSocket = Socket & {
  _httpMessage?: ServerResponse | null
  /** With the request that came last: it may have come before the one that is answered was. */
  parser?: { incoming: IncomingMessage | null } | null
}

/** What Node keeps of a session of HTTP/2: https://github.com/nodejs/node/blob/main/lib/internal/http2/core.js */
interface SessionState {
  streams?: ReadonlyMap<number, unknown>
}

/** What was open when all was cut. */
export interface Destroyed {
  connections: number
  requests: number
}

/** The connections of a server, as far as Node leaves them to whoever closes it. */
export interface ConnectionDrainer {
  /** Has each client come back on another connection: with the next answer, those under way included. */
  sendElsewhere(): void
  /** After `server.close()`: ends each as it falls idle. */
  closeAsIdle(): void
  /** Answers that the app has ended, while bytes of them can still be in the socket. */
  unsent(): ServerResponse[]
  /** Those that are not answered, or whose answer is not sent. */
  requests(): number
  /**
   * Resolves when all have ended that are the server's to end, which those that were upgraded are not once what was
   * written to them is sent, or when all are cut.
   */
  drained(): Promise<void>
  /** Ends all at once; says how many there were, unless there was none. */
  destroyAll(told: (cut: Destroyed) => void): void
  /** The server has closed, or listens anew. */
  ended(): void
  /** Stops looking at the server. */
  forget(): void
}

/** Nothing here is called per request, but for those that come after `sendElsewhere()`. */
export function drainConnections(server: AnyServer): ConnectionDrainer {
  const connection = server instanceof TlsServer ? 'secureConnection' : 'connection'
  const sockets = new Set<AnsweringSocket>()
  const sessions = new Set<ServerHttp2Session>()
  /** Such as WebSockets: no longer the server's to close, and they do not end by themselves. */
  const upgraded = new Set<Socket>()
  const waiting = new Set<() => void>()
  let poll: NodeJS.Timeout | undefined

  const onConnection = (socket: Socket) => remember(sockets, socket)
  const onSession = (session: ServerHttp2Session) => remember(sessions, session)
  const onUpgrade = (_: IncomingMessage, socket: Socket) => remember(upgraded, socket)
  const onNewListener = (event: string, listener: unknown) => {
    // Where the app does not take upgrades, a listener of ours would make Node believe that it does.
    if (event !== 'upgrade' || listener === onUpgrade || server.listeners('upgrade').includes(onUpgrade))
      return
    server.on('upgrade', onUpgrade)
  }
  /** Of each connection the last answer that says goodbye. */
  const goodbyes = new WeakMap<Socket, ServerResponse>()
  const goodbye = ({ httpVersionMajor, socket }: IncomingMessage, response: ServerResponse) => {
    if (httpVersionMajor !== 1) return
    const earlier = goodbyes.get(socket)
    // Of requests that came together the last one is answered, too.
    if (earlier !== undefined && !earlier.headersSent) earlier.setHeader('Connection', 'keep-alive')
    closeAfter(response)
    goodbyes.set(socket, response)
  }
  server.on(connection, onConnection).on('session', onSession).on('newListener', onNewListener)
  if (server.listenerCount('upgrade') > 0) server.on('upgrade', onUpgrade)

  return {
    sendElsewhere() {
      // HTTP/2 has no header for it; and a first listener would turn a server of streams into one of requests.
      if (server.listenerCount('request') === 0) return
      for (const { _httpMessage: response, parser } of sockets) {
        if (!response) continue
        const isLast = (parser?.incoming ?? response.req) === response.req
        if (isLast) closeAfter(response)
      }
      server.prependListener('request', goodbye)
    },
    closeAsIdle() {
      // Finishes the streams that it has, and tells the client that it took no others.
      for (const session of sessions) session.close()
      const closeIdle = () => (server.listening ? clearInterval(poll) : server.closeIdleConnections?.())
      clearInterval(poll)
      poll = setInterval(closeIdle, IDLE_POLL).unref()
      closeIdle()
    },
    unsent() {
      return [...sockets].flatMap(({ _httpMessage: response }) => (response?.finished ? [response] : []))
    },
    requests() {
      const answering = [...sockets].filter(({ _httpMessage: response }) => response).length
      return [...sessions].reduce((sum, session) => sum + openStreams(session), answering)
    },
    drained() {
      return new Promise(resolve => {
        const done = () => {
          waiting.delete(done)
          clearInterval(look)
          server.off('close', done)
          resolve()
        }
        const look = setInterval(() => {
          if (server.listening || upgraded.size === 0) return
          const sent = [...upgraded].filter(({ writableLength }) => writableLength === 0).length
          server.getConnections((_, open) => open <= sent && done())
        }, IDLE_POLL).unref()
        server.once('close', done)
        waiting.add(done)
      })
    },
    destroyAll(told) {
      const requests = this.requests()
      server.getConnections((_, connections) => connections > 0 && told({ connections, requests }))
      for (const socket of sockets) socket.destroy()
      // Those too that were there before we looked.
      server.closeAllConnections?.()
      for (const done of waiting) done()
    },
    ended() {
      clearInterval(poll)
      server.off('request', goodbye)
    },
    forget() {
      this.ended()
      server.off(connection, onConnection).off('session', onSession)
      server.off('newListener', onNewListener).off('upgrade', onUpgrade)
    },
  }
}

function remember<T extends EventEmitter>(set: Set<T>, emitter: T): void {
  set.add(emitter)
  emitter.once('close', () => set.delete(emitter))
}

function openStreams(session: ServerHttp2Session): number {
  const state = Object.getOwnPropertySymbols(session).find(({ description }) => description === 'state')
  return state === undefined
    ? 0
    : ((session as unknown as Record<symbol, SessionState | undefined>)[state]?.streams?.size ?? 0)
}

function closeAfter(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader('Connection', 'close')
}
