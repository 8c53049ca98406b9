import type { IncomingMessage } from 'node:http'
import type { ServerHttp2Session } from 'node:http2'
import type { Server, Socket } from 'node:net'

/** Between two looks for connections that fell idle, in ms: an idle keep-alive connection holds a closing server for seconds. */
const IDLE_POLL = 50

/** `http` and `https` servers know their connections; those of `http2` and `net` do not. */
type AnyServer = Server & { closeIdleConnections?(): void; closeAllConnections?(): void }

/** The connections that outlive `server.close()`. */
export interface Connections {
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
  const sockets = new Set<Socket>()
  /** Such as WebSockets: no longer the server's to close, and they do not end by themselves. */
  const upgraded = new Set<Socket>()
  let poll: NodeJS.Timeout | undefined

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
  if (server.closeAllConnections === undefined) server.on('connection', onConnection)
  if (server.listening) onListening()

  return {
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
      for (const socket of [...sockets, ...upgraded]) socket.destroy()
      server.closeAllConnections?.()
    },
    forget() {
      stopPolling()
      server.off('session', onSession).off('connection', onConnection).off('listening', onListening)
      server.off('close', stopPolling).off('upgrade', onUpgrade)
    },
  }
}
