import { createSocket, type Socket } from 'node:dgram'
import { createServer } from 'node:net'

// Below the ranges from which Linux (32768) and macOS (49152) take the ports of outgoing connections. A port
// from those could be taken by a client's connection while etcd is down, even by one that connects to itself.
const first = 20_000
const last = 32_000

/** So many of the ports that a process was given last are kept from others: etcds may be down for a restart. */
const most = 200

/** UDP sockets on the same ports. They tell other processes, and end with ours. */
const claims: Socket[] = []

/** A TCP port on 127.0.0.1 that nobody listens on, and that is none of the last 200 of any process. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const port = first + Math.floor(Math.random() * (last - first))
    const claim = await claimOf(port)
    if (claim === undefined) continue
    if (await canListen(port)) {
      claims.push(claim)
      if (claims.length > most) claims.shift()!.close()
      return port
    }
    claim.close()
  }
  throw new Error(`No free port found on 127.0.0.1 between ${first} and ${last}`)
}

/** Has it listen on the wanted port, by default on a free one; resolves with the port. */
export async function listenOnFreePort(
  listen: (port: number) => Promise<void>,
  wanted: number | undefined,
): Promise<number> {
  for (let tries = 1; ; tries++) {
    const port = wanted ?? (await freePort())
    try {
      await listen(port)
      return port
    } catch (error) {
      if (wanted !== undefined || tries === 5) throw error
    }
  }
}

/** `undefined`: somebody has it. */
function claimOf(port: number): Promise<Socket | undefined> {
  return new Promise((resolve, reject) => {
    const socket = createSocket('udp4').unref()
    socket.on('error', (error: NodeJS.ErrnoException) => {
      socket.close()
      if (error.code === 'EADDRINUSE') resolve(undefined)
      else reject(error)
    })
    socket.bind({ port, address: '127.0.0.1', exclusive: true }, () => resolve(socket))
  })
}

function canListen(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1' }, () => server.close(() => resolve(true)))
  })
}
