import { createServer } from 'node:net'

// Below the ranges from which Linux (32768) and macOS (49152) take the ports of outgoing connections. A port
// from those could be taken by a client's connection while etcd is down, even by one that connects to itself.
const first = 20_000
const last = 32_000

const given = new Set<number>()

/** A TCP port on 127.0.0.1 that nobody listens on and that was not given out before by this process. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = first + Math.floor(Math.random() * (last - first))
    if (given.has(port) || !(await canListen(port))) continue
    given.add(port)
    return port
  }
  throw new Error(`No free port found on 127.0.0.1 between ${first} and ${last}`)
}

function canListen(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1' }, () => server.close(() => resolve(true)))
  })
}
