import { once } from 'node:events'
import { Agent, get } from 'node:http'
import { type ClientHttp2Session, connect, createServer as createHttp2Server } from 'node:http2'
import { connect as connectTcp, createServer as createTcpServer } from 'node:net'
import { createRegistry, jsonFormat, type RegistryOptions } from '@etcd-register/core'
import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { resolveServerOptions } from '../../src/server/server.ts'
import { aNamespace, aServer, attach, closed, closedWithTest, listen, ready } from '../support/server-side.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { aRegistry } from '../support/write-side.ts'

forbidUnhandled()

let etcd: EtcdMember

beforeAll(async () => {
  etcd = await startEtcdBinary()
})

afterAll(() => etcd?.stop())

/** Sessions that are kept open, as clients of HTTP/2 do. */
async function aSession(port: number): Promise<ClientHttp2Session> {
  const session = connect(`http://127.0.0.1:${port}`)
  session.on('error', () => {})
  onTestFinished(() => session.destroy())
  await once(session, 'connect')
  return session
}

async function body(session: ClientHttp2Session, path: string): Promise<string> {
  let text = ''
  for await (const chunk of session.request({ ':path': path })) text += chunk
  return text
}

describe('an HTTP/2 server that is closed', () => {
  test('finishes its streams, and ends sessions that would have stayed open', async () => {
    const { registry, keys } = aNamespace(etcd)
    let finish = () => {}
    const server = closedWithTest(
      createHttp2Server((request, response) => {
        if (request.url === '/') response.end('ok')
        else finish = () => response.end('late')
      }),
    )
    const attached = attach(server, registry)
    const port = await listen(server)
    await ready(attached)
    const [busy, idle] = await Promise.all([aSession(port), aSession(port)])
    expect(await body(idle, '/')).toBe('ok')
    const slow = body(busy, '/slow')
    await once(server, 'request')
    const over = closed(server)
    await Promise.all([once(idle, 'close'), until(async () => (await keys()).length === 0)])
    finish()
    expect(await slow).toBe('late')
    await over
  })

  test('stays one of streams, not of requests', async () => {
    const { registry } = aNamespace(etcd)
    const server = closedWithTest(createHttp2Server())
    server.on('stream', stream => stream.end('ok'))
    const attached = attach(server, registry, { drainDelay: 2000 })
    const port = await listen(server)
    await ready(attached)
    const over = closed(server)
    await until(() => attached.registration!.state === 'closed')
    const session = await aSession(port)
    expect(await body(session, '/')).toBe('ok')
    expect(server.listenerCount('request')).toBe(0)
    await over
  })
})

describe('what does not end by itself is cut after shutdownTimeout', () => {
  test('a request that is never answered', async () => {
    const { registry, keys } = aNamespace(etcd)
    const server = aServer(() => {})
    const attached = attach(server, registry, { shutdownTimeout: 2000 })
    const port = await listen(server)
    await ready(attached)
    const request = get({ port, host: '127.0.0.1' })
    const failed = once(request, 'error')
    request.on('error', () => {})
    await once(server, 'request')
    await closed(server)
    await failed
    expect(await keys()).toEqual([])
  })

  test('a request on a connection that was there before', async () => {
    const { registry } = aNamespace(etcd)
    const server = aServer(() => {})
    const port = await listen(server)
    const failed = once(get({ port, host: '127.0.0.1' }), 'error')
    await once(server, 'request')
    await ready(attach(server, registry, { shutdownTimeout: 200 }))
    await Promise.all([failed, closed(server)])
  })

  test('a stream of HTTP/2', async () => {
    const { registry } = aNamespace(etcd)
    const server = closedWithTest(createHttp2Server(() => {}))
    const attached = attach(server, registry, { shutdownTimeout: 200 })
    const port = await listen(server)
    await ready(attached)
    const session = await aSession(port)
    const over = once(session, 'close')
    session.request({ ':path': '/' }).on('error', () => {})
    await once(server, 'request')
    await Promise.all([over, closed(server)])
  })

  test('a connection to a server of another protocol', async () => {
    const { registry } = aNamespace(etcd)
    const server = closedWithTest(createTcpServer())
    const attached = attach(server, registry, { shutdownTimeout: 200, protocol: 'tcp' })
    const port = await listen(server)
    await ready(attached)
    const socket = connectTcp(port, '127.0.0.1')
    await once(server, 'connection')
    await Promise.all([once(socket, 'close'), closed(server)])
  })
})

test('an answer under way tells its client, too, to go elsewhere', async () => {
  const { registry } = aNamespace(etcd)
  let finish = () => {}
  const server = aServer((_, response) => {
    finish = () => response.end()
  })
  const port = await listen(server)
  await ready(attach(server, registry))
  const agent = new Agent({ keepAlive: true })
  onTestFinished(() => agent.destroy())
  const request = get({ port, host: '127.0.0.1', agent })
  await once(server, 'request')
  const over = closed(server)
  await until(() => !server.listening)
  finish()
  const [response] = await once(request, 'response')
  expect(response.headers.connection).toBe('close')
  response.resume()
  await over
})

test('close() meanwhile harms nobody: the server closes in order, and nothing of ours is left', async () => {
  const { registry, keys } = aNamespace(etcd)
  let finish = () => {}
  const server = aServer((_, response) => {
    finish = () => response.end('ok')
  })
  const attached = attach(server, registry, { drainDelay: 100 })
  const port = await listen(server)
  await ready(attached)
  const agent = new Agent({ keepAlive: true })
  onTestFinished(() => agent.destroy())
  const request = get({ port, host: '127.0.0.1', agent })
  await once(server, 'request')
  const over = closed(server)
  await attached.close()
  expect(await keys()).toEqual([])
  await until(() => !server.listening)
  finish()
  const [response] = await once(request, 'response')
  response.resume()
  await over
  expect(attached.state).toBe('off')
  expect(server.listenerCount('request')).toBe(1)
})

test('two registrations of one server leave both before it closes, in whatever order they let go of it', async () => {
  const { registry, keys } = aNamespace(etcd)
  const server = aServer()
  const { close } = server
  const names = ['one', 'two', 'three']
  const attached = names.map(name => attach(server, registry, { name, drainDelay: 100 }))
  await listen(server)
  await Promise.all(attached.map(ready))
  await attached[0]!.close()
  expect(await keys()).toHaveLength(2)
  const over = closed(server)
  expect(server.listening).toBe(true)
  expect(attached.map(({ state }) => state).slice(1)).toEqual(['leaving', 'leaving'])
  await over
  expect(await keys()).toEqual([])
  for (const one of attached) await one.close()
  expect(server.close).toBe(close)
})

test('a wrapper of the server that somebody else put around ours stays', async () => {
  const { registry } = aNamespace(etcd)
  const server = aServer()
  const attached = attach(server, registry)
  const { close } = server
  let calls = 0
  server.close = callback => {
    calls += 1
    return close.call(server, callback)
  }
  await listen(server)
  await ready(attached)
  await attached.close()
  await closed(server)
  expect(calls).toBe(1)
})

test('state tells a readiness check how far it is', async () => {
  const { registry } = aNamespace(etcd)
  let finish = () => {}
  const server = aServer((_, response) => {
    finish = () => response.end()
  })
  const attached = attach(server, registry, { drainDelay: 1000 })
  expect(attached).toMatchObject({ state: 'off', ready: false })
  const port = await listen(server)
  await ready(attached)
  expect(attached).toMatchObject({ state: 'serving', ready: true })
  const request = get({ port, host: '127.0.0.1' })
  await once(server, 'request')
  const over = closed(server)
  expect(attached).toMatchObject({ state: 'leaving', ready: false })
  await until(() => attached.state === 'draining')
  expect(attached.ready).toBe(false)
  await until(() => attached.state === 'closing')
  finish()
  const [response] = await once(request, 'response')
  response.resume()
  await over
  expect(attached.state).toBe('off')
})

describe('a shutdown says how far it is', () => {
  const told = () => {
    const lines: string[] = []
    const note = (_: object, message: string) => void lines.push(message.replace(/\d+ ms$/, 'some ms'))
    const ignore = () => {}
    return { lines, logger: { debug: ignore, info: note, warn: note, error: note } }
  }

  test('draining, how many requests it waits for, done', async () => {
    const { lines, logger } = told()
    const registry = aRegistry({ onTestFinished }, etcd, { namespace: '/told', logger })
    const finish: (() => void)[] = []
    const server = aServer((_, response) => void finish.push(() => response.end()))
    const attached = attach(server, registry, { drainDelay: 500 })
    const port = await listen(server)
    await ready(attached)
    const answers = [1, 2].map(() => once(get({ port, host: '127.0.0.1' }), 'response'))
    await until(() => finish.length === 2)
    lines.length = 0
    const over = closed(server)
    await until(() => attached.state === 'closing')
    for (const end of finish) end()
    for (const [response] of await Promise.all(answers)) response.resume()
    await over
    expect(lines).toEqual([
      `orders 127.0.0.1:${port}: closed`,
      '"orders" is deregistered; draining for some ms',
      '"orders" takes no more connections; waiting for 2 requests',
      'the shutdown of "orders" is done, after some ms',
    ])
  })

  test('and counts what it cut, streams of HTTP/2 too', async () => {
    const { registry } = aNamespace(etcd)
    let requests = 0
    const server = closedWithTest(
      createHttp2Server(() => {
        requests += 1
      }),
    )
    const attached = attach(server, registry, { shutdownTimeout: 300 })
    const port = await listen(server)
    await ready(attached)
    const session = await aSession(port)
    for (const path of ['/', '/2', '/3']) session.request({ ':path': path }).on('error', () => {})
    await until(() => requests === 3)
    await closed(server)
    expect(registry.warnings).toEqual([
      'cut 1 connection of "orders" after shutdownTimeout (300 ms), with 3 requests under way',
    ])
  })
})

describe('drainDelay', () => {
  const options = (more: object) => () => {
    const registry = createRegistry({ hosts: etcd.endpoint })
    onTestFinished(() => registry.close())
    return attach(aServer(), registry, more).close()
  }

  test('that shutdownTimeout would not leave time for is refused', () => {
    expect(options({ drainDelay: 5000, shutdownTimeout: 5000 })).toThrow(
      'Option "drainDelay" must be less than shutdownTimeout (5000), which bounds the whole shutdown; got 5000.',
    )
  })

  test.each<[NonNullable<RegistryOptions['format']>, number]>([
    ['json', 1000],
    [['json', 'traefik'], 3000],
    [['traefik', 'kitex', 'json'], 6000],
    [[{ ...jsonFormat(), defaults: { drainDelay: 100 } }], 100],
  ])('is by default the longest that a format asks for: of %o %i ms', (format, drainDelay) => {
    const registry = createRegistry({ hosts: etcd.endpoint, format })
    onTestFinished(() => registry.close())
    expect(resolveServerOptions({ name: 'orders' }, registry)).toMatchObject({
      drainDelay,
      shutdownTimeout: Math.max(10_000, drainDelay + 9000),
    })
    expect(resolveServerOptions({ name: 'orders', shutdownTimeout: 900 }, registry).drainDelay).toBe(
      Math.min(450, drainDelay),
    )
    expect(resolveServerOptions({ name: 'orders', drainDelay: 0 }, registry).drainDelay).toBe(0)
  })

  test('of any length takes its time from the default of shutdownTimeout, and the default leaves it time', async () => {
    await options({ drainDelay: 60_000, shutdownTimeout: undefined })()
    await options({ drainDelay: undefined, shutdownTimeout: 500 })()
  })
})
