import type { Duplex } from 'node:stream'
import { createServer, type PeerCertificate, type TlsOptions } from 'node:tls'
import { createGate } from './gate.ts'

/**
 * Speaks TLS on connections that are given to it, and passes on what is inside, with the client's certificate if it has
 * shown one. A handshake that fails ends the connection. `takesSlashes`: an authority may have slashes, which Node's HTTP/2
 * refuses.
 */
export function createTlsFront(
  options: TlsOptions,
  takesSlashes: boolean,
  accept: (connection: Duplex, certificate: PeerCertificate | undefined) => void,
): (connection: Duplex) => void {
  const server = createServer({ ...options, ALPNProtocols: ['h2'] }, socket => {
    const stream = takesSlashes ? createGate(socket, false, 'http2-of-tls').stream : socket
    stream.on('error', () => {})
    accept(stream, options.requestCert ? socket.getPeerCertificate() : undefined)
  })
  return connection => {
    server.emit('connection', connection)
  }
}
