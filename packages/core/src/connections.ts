import type { IncomingMessage, ServerResponse } from 'node:http'
import type { ServerHttp2Session } from 'node:http2'
import type { Server, Socket } from 'node:net'
import { Server as TlsServer } from 'node:tls'

/** Between two looks for connections that fell idle, in ms: an idle keep-alive connection holds a closing server for seconds. */
const IDLE_POLL = 50

/** `http` and `https` servers know which of their connections are idle; those of `http2` and `net` do not. */
type AnyServer = Server & { closeIdleConnections?(): void }

/** What Node keeps on a socket while it answers a request: https://github.com/nodejs/node/blob/main/lib/_http_outgoing.js */
type AnsweringSocket = Socket & { _httpMessage?: ServerResponse | null }

/** The connections that outlive `server.close()`. */
export interface Connections {
  /** Has each client come back on another connection: with the next answer, those under way included. */
  sendElsewhere(): void
  /** After `server.close()`: ends each as it falls idle. */
  closeAsIdle(): void
  /** Resolves when all have ended that are the server's to end; those that were upgraded are not. */
  settled(): Promise<void>
  /** Ends all at once. */
  cut(): void
  /** Stops looking at the server. */
  forget(): void
}

/** Nothing here is called per request. */
export function trackConnections(server: AnyServer): Connections {
  const sessions = new Set<ServerHttp2Session>()
  const sockets = new Set<AnsweringSocket>()
  /** Such as WebSockets: no longer the server's to close, and they do not end by themselves. */
  const upgraded = new Set<Socket>()
  let poll: NodeJS.Timeout | undefined

  const connection = server instanceof TlsServer ? 'secureConnection' : 'connection'

  const onSession = (session: ServerHttp2Session) => {
    sessions.add(session)
    session.once('close', () => sessions.delete(session))
  }
  const onConnection = (socket: Socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  }
  const onUpgrade = (_: IncomingMessage, socket: Socket) => {
    upgraded.add(socket)
    socket.once('close', () => upgraded.delete(socket))
  }
  const onListening = () => {
    // Where the app does not take upgrades, a listener of ours would make Node believe that it does.
    const listeners = server.listeners('upgrade')
    if (listeners.length > 0 && !listeners.includes(onUpgrade)) server.on('upgrade', onUpgrade)
  }
  const stopPolling = () => clearInterval(poll)
  server.on('session', onSession).on('listening', onListening).on('close', stopPolling)
  server.on(connection, onConnection)
  if (server.listening) onListening()

  return {
    sendElsewhere() {
      // HTTP/2 has no header for it; and a first listener would turn a server of streams into one of requests.
      if (server.listenerCount('request') === 0) return
      for (const { _httpMessage: response } of sockets) if (response) closeAfter(response)
      const goodbye = ({ httpVersionMajor }: IncomingMessage, response: ServerResponse) => {
        if (httpVersionMajor === 1) closeAfter(response)
      }
      server.prependListener('request', goodbye)
      server.once('close', () => server.off('request', goodbye))
    },
    closeAsIdle() {
      // Finishes the streams that it has, and tells the client that it took no others.
      for (const session of sessions) session.close()
      server.closeIdleConnections?.()
      stopPolling()
      poll = setInterval(() => server.closeIdleConnections?.(), IDLE_POLL)
    },
    settled() {
      return new Promise(resolve => {
        const look = setInterval(() => {
          if (server.listening || upgraded.size === 0) return
          server.getConnections((_, open) => open <= upgraded.size && done())
        }, IDLE_POLL)
        const done = () => {
          clearInterval(look)
          server.off('close', done)
          resolve()
        }
        server.once('close', done)
      })
    },
    cut() {
      for (const socket of sockets) socket.destroy()
    },
    forget() {
      stopPolling()
      server.off('session', onSession).off(connection, onConnection).off('listening', onListening)
      server.off('close', stopPolling).off('upgrade', onUpgrade)
    },
  }
}

function closeAfter(response: ServerResponse): void {
  if (!response.headersSent) response.setHeader('Connection', 'close')
}
