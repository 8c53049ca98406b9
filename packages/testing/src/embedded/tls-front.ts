import type { Duplex } from 'node:stream'
import { createServer, type PeerCertificate, type TlsOptions } from 'node:tls'
import { createGate } from './gate.ts'

/**
 * Speaks TLS on connections that are given to it, and passes on what is inside, with the client's certificate if it has
 * shown one. A handshake that fails ends the connection.
 */
export function createTlsFront(
  options: TlsOptions,
  accept: (connection: Duplex, certificate: PeerCertificate | undefined) => void,
): (connection: Duplex) => void {
  const server = createServer({ ...options, ALPNProtocols: ['h2'] }, socket => {
    const { stream } = createGate(socket, false, 'http2-of-tls')
    stream.on('error', () => {})
    accept(stream, options.requestCert ? socket.getPeerCertificate() : undefined)
  })
  return connection => {
    server.emit('connection', connection)
  }
}
