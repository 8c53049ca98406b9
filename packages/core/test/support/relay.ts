import { connect, createServer, type Socket } from 'node:net'
import type { Cleanup } from './write-side.ts'

/** One address in front of one or several members, as a balancer or a virtual IP. */
export interface Relay {
  readonly endpoint: string
  readonly port: number
  /** Connections of clients that are open. */
  readonly connections: number
  /** Connections that were accepted so far. */
  readonly accepted: number
  /** Connections without an answer that are open. */
  readonly silent: number
  /** So many connections from now on are accepted and get no answer, for ever. */
  mute(connections: number): void
  /** Connections from now on get their answers so much later, in ms. */
  delay(ms: number): void
  /** Resets all connections. */
  drop(): void
}

/** Each new connection goes to the next target. */
export async function aRelay(test: Cleanup, ...targets: { endpoint: string }[]): Promise<Relay> {
  const ports = targets.map(({ endpoint }) => Number(new URL(endpoint).port))
  const clients = new Set<Socket>()
  const silent = new Set<Socket>()
  let [mute, accepted, delay] = [0, 0, 0]
  const server = createServer({ noDelay: true }, client => {
    clients.add(client)
    client.on('error', () => {}).on('close', () => clients.delete(client))
    accepted += 1
    if (mute > 0) {
      mute -= 1
      silent.add(client)
      client.on('close', () => silent.delete(client)).resume()
      return
    }
    const target = connect({ port: ports[accepted % ports.length]!, host: '127.0.0.1', noDelay: true })
    target.on('error', () => {}).on('close', () => client.destroy())
    client.on('close', () => target.destroy())
    client.pipe(target)
    if (delay === 0) return void target.pipe(client)
    const waiting = setTimeout(() => target.pipe(client), delay)
    client.on('close', () => clearTimeout(waiting))
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as { port: number }
  const { protocol } = new URL(targets[0]!.endpoint)
  test.onTestFinished(() => {
    for (const client of clients) client.destroy()
    server.close()
  })
  return {
    endpoint: `${protocol}//127.0.0.1:${port}`,
    port,
    get connections() {
      return clients.size
    },
    get accepted() {
      return accepted
    },
    get silent() {
      return silent.size
    },
    mute(connections) {
      mute = connections
    },
    delay(ms) {
      delay = ms
    },
    drop() {
      for (const client of clients) client.resetAndDestroy()
    },
  }
}
