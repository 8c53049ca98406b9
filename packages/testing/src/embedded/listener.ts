import type { AddressInfo } from 'node:net'
import { createServer, type Socket } from 'node:net'

/** The port, and the connections to it. */
export interface Listener {
  listen(port: number): Promise<number>
  /** Resets all connections. */
  disconnect(): void
  /** Resets all connections and refuses new ones. */
  close(): Promise<void>
}

export function createListener(host: string, accept: (socket: Socket) => void): Listener {
  const sockets = new Set<Socket>()
  const server = createServer({ noDelay: true }, socket => {
    sockets.add(socket)
    socket.unref().once('close', () => sockets.delete(socket))
    socket.on('error', () => {})
    accept(socket)
  })
  server.unref()

  function disconnect() {
    for (const socket of sockets) socket.destroy()
  }

  return {
    disconnect,
    listen(port) {
      return new Promise((resolve, reject) => {
        server.once('error', reject)
        server.listen({ port, host }, () => {
          server.off('error', reject)
          resolve((server.address() as AddressInfo).port)
        })
      })
    },
    async close() {
      const closed = server.listening ? new Promise(resolve => server.close(resolve)) : undefined
      disconnect()
      await closed
    },
  }
}
