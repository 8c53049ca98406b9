import { createServer } from 'node:net'

// Below the ranges from which Linux (32768) and macOS (49152) take the ports of outgoing connections. A port
// from those could be taken by a client's connection while etcd is down, even by one that connects to itself.
const first = 20_000
const last = 32_000

// Workers of a test runner take them from parts of their own, else one may take the port of another's etcd that is down.
const parts = 8
const worker = Number(
  process.env.VITEST_POOL_ID ?? process.env.JEST_WORKER_ID ?? Math.floor(Math.random() * parts),
)
const size = (last - first) / parts
const begin = first + (Number.isInteger(worker) ? worker % parts : 0) * size

const given = new Set<number>()

/** A TCP port on 127.0.0.1 that nobody listens on and that this process has not given out lately. */
export async function freePort(): Promise<number> {
  for (let tries = 0; tries < 100; tries++) {
    const [from, among] = tries < 50 ? [begin, size] : [first, last - first]
    const port = from + Math.floor(Math.random() * among)
    if (given.has(port)) continue
    // Before it is tried: who asks meanwhile shall not try the same one.
    given.add(port)
    // Whoever got the oldest one listens there, or has ended long ago.
    if (given.size > size / 2) given.delete(given.values().next().value!)
    if (await canListen(port)) return port
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

function canListen(port: number): Promise<boolean> {
  return new Promise(resolve => {
    const server = createServer()
    server.once('error', () => resolve(false))
    server.listen({ port, host: '127.0.0.1' }, () => server.close(() => resolve(true)))
  })
}
