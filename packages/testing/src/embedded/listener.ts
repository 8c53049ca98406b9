import { createServer, type Socket } from 'node:net'
import type { Duplex } from 'node:stream'
import { type Content, createGate, type Gate } from './gate.ts'

/** The port and the connections to it. Neither keeps the process alive. */
export interface Listener {
  listen(port: number): Promise<void>
  /** Connections stay open and nothing passes; new ones are accepted and hang. */
  hold(): void
  release(): void
  /** Ends all connections; resolves when their peers have noticed. */
  disconnect(): Promise<void>
  /** Ends all connections and refuses new ones. */
  close(): Promise<void>
}

export function createListener(
  host: string,
  content: Content,
  accept: (connection: Duplex) => void,
): Listener {
  const connections = new Map<Socket, Gate>()
  let held = false
  const server = createServer({ noDelay: true }, socket => {
    const gate = createGate(socket, held, content)
    connections.set(socket, gate)
    socket.unref().once('close', () => connections.delete(socket))
    gate.stream.on('error', () => {})
    accept(gate.stream)
  })
  server.unref()

  async function disconnect() {
    await Promise.all([...connections.values()].map(gate => gate.close()))
  }

  return {
    listen(port) {
      return new Promise((resolve, reject) => {
        server.once('error', reject)
        server.listen({ port, host }, () => {
          server.off('error', reject)
          resolve()
        })
      })
    },
    hold() {
      held = true
      for (const gate of connections.values()) gate.hold()
    },
    release() {
      held = false
      for (const gate of connections.values()) gate.release()
    },
    disconnect,
    async close() {
      held = false
      const closed = server.listening ? new Promise(resolve => server.close(resolve)) : undefined
      await disconnect()
      await closed
    },
  }
}
