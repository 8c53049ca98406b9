import { type ClientHttp2Session, connect, createServer, type ServerHttp2Stream } from 'node:http2'
import type { AddressInfo } from 'node:net'
import type { Cleanup } from './write-side.ts'

/**
 * One address in front of several members: each call of a method goes to the next one, as with a balancer for HTTP/2.
 * `mute`: calls of this path get no answer.
 */
export async function startCallBalancer(
  test: Cleanup,
  targets: readonly { endpoint: string }[],
  mute: (path: string) => boolean = () => false,
): Promise<{ endpoint: string }> {
  const sessions = new Set<{ destroy(): void }>()
  const members = targets.map(({ endpoint }) => {
    const session: ClientHttp2Session = connect(endpoint)
    session.on('error', () => {})
    sessions.add(session)
    return session
  })
  const calls = new Map<string, number>()
  const server = createServer()
  server.on('session', session => {
    sessions.add(session)
    session.on('error', () => {}).on('close', () => sessions.delete(session))
  })
  server.on('stream', (client: ServerHttp2Stream, headers) => {
    const path = headers[':path']!
    client.on('error', () => {})
    if (mute(path)) return
    const turn = calls.get(path) ?? 0
    calls.set(path, turn + 1)
    const member = members[turn % members.length]!.request(headers, { endStream: false })
    member.on('response', (answer, flags) => {
      if (client.destroyed) return
      const ended = (flags & 1) > 0
      client.respond(answer, { waitForTrailers: !ended, endStream: ended })
    })
    member.on('trailers', trailers => client.on('wantTrailers', () => client.sendTrailers(trailers)))
    member.on('error', () => client.destroy()).on('close', () => client.end())
    client.on('error', () => member.destroy()).on('close', () => member.destroy())
    client.pipe(member)
    member.pipe(client)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  test.onTestFinished(() => {
    for (const session of sessions) session.destroy()
    server.close()
  })
  return { endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}` }
}
