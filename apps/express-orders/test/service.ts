import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { json } from 'node:stream/consumers'
import { attachServer, createRegistry } from '@etcd-register/express'
import { onTestFinished } from 'vitest'

export interface Request {
  method: string | undefined
  url: string | undefined
  key: string | string[] | undefined
  body: unknown
}

/** How a service of these tests answers: a status and a body, or not at all. */
export type Behaviour = (request: Request) => readonly [status: number, body: object] | 'reset'

/** A registered instance that does as it is told; gone with the test. The result is what it was asked. */
export async function startService(hosts: string, name: string, behave: Behaviour): Promise<Request[]> {
  const requests: Request[] = []
  const server = createServer(async (incoming: IncomingMessage, response: ServerResponse) => {
    const { method, url, headers } = incoming
    const body = method === 'POST' ? await json(incoming) : undefined
    const request = { method, url, key: headers['idempotency-key'], body }
    requests.push(request)
    const answer = behave(request)
    if (answer === 'reset') return void incoming.socket.destroy()
    response.writeHead(answer[0]).end(answer[0] === 204 ? undefined : JSON.stringify(answer[1]))
  })
  const registry = createRegistry({ hosts, logger: false })
  const attached = attachServer(server, registry, { name, drainDelay: 0 })
  onTestFinished(async () => {
    await attached.shutdown()
    await registry.close()
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  await attached.registration!.ready()
  return requests
}
