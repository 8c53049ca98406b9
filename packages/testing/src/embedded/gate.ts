import { Duplex } from 'node:stream'
import { ClientFrames } from './client-frames.ts'

/** A connection as a server sees it, which can stand still: what comes in and what goes out both wait. */
export interface Gate {
  readonly stream: Duplex
  hold(): void
  release(): void
  /** Ends the connection as the end of a process would; resolves when the peer has noticed, or does not in time. */
  close(): Promise<void>
}

/** Milliseconds for a peer to notice. */
const PATIENCE = 100

/** What is seen of a connection: HTTP/2 as it is sent, or TLS, or the HTTP/2 that was within TLS. */
export type Content = 'http2' | 'tls' | 'http2-of-tls'

export function createGate(socket: Duplex, held: boolean, content: Content): Gate {
  let waiting: (() => void)[] | undefined = held ? [] : undefined

  /** Runs it now, or once the gate is open. */
  const pass = (step: () => void) => {
    if (waiting === undefined) step()
    else waiting.push(step)
  }

  const stream = new Duplex({
    read: () => pass(() => socket.resume()),
    write: (chunk, _encoding, done) => pass(() => socket.write(chunk, done)),
    writev: (chunks, done) => pass(() => socket.write(Buffer.concat(chunks.map(({ chunk }) => chunk)), done)),
    final: done => pass(() => socket.end(done)),
    destroy(error, done) {
      if (error !== null) socket.destroy()
      else socket.end()
      done(error)
    },
  })

  const give = (bytes: Buffer) => {
    if (!stream.destroyed && !stream.readableEnded && !stream.push(bytes)) socket.pause()
  }
  const frames = content === 'tls' ? undefined : new ClientFrames(give, content === 'http2')
  socket.on('data', chunk => {
    if (frames === undefined) give(chunk)
    else frames.take(chunk)
  })
  socket.on('end', () => pass(() => stream.push(null)))
  socket.on('error', error => pass(() => stream.destroy(error)))
  socket.on('close', () => pass(() => stream.destroy()))
  if (held) socket.pause()

  return {
    stream,
    hold() {
      waiting ??= []
      socket.pause()
    },
    release() {
      const steps = waiting ?? []
      waiting = undefined
      for (const step of steps) step()
      socket.resume()
    },
    close() {
      waiting ??= [] // nothing of what still comes is for the server
      stream.destroy()
      return new Promise(resolve => {
        if (socket.destroyed) return resolve()
        const timer = setTimeout(() => socket.destroy(), PATIENCE).unref()
        socket.once('close', () => {
          clearTimeout(timer)
          resolve()
        })
        socket.resume().end()
      })
    },
  }
}
