import { once } from 'node:events'
import { createServer as createHttpServer, type RequestListener, type Server } from 'node:http'
import { connect as connectHttp2, createServer as createHttp2Server } from 'node:http2'
import { createServer as createHttpsServer } from 'node:https'
import { connect, type Socket } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { createCertificateAuthority, type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { aNamespace, aServer, attach, closed, closedWithTest, listen, ready } from '../support/server-side.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'

forbidUnhandled()

let etcd: EtcdMember

beforeAll(async () => {
  etcd = await startEtcdBinary()
})

afterAll(() => etcd?.stop())

/** More than the buffers of two sockets hold. */
const SIZE = 20_000_000
const BODY = Buffer.alloc(SIZE, 'x')

/** Longer than a busy machine takes to read that slowly. */
const PATIENT = { shutdownTimeout: 60_000 }

/** Sends text, and reads nothing before it is asked to. */
function aSlowClient(port: number, text: string, open = () => connect(port, '127.0.0.1') as Socket): Socket {
  const socket = open()
  socket.pause()
  socket.on('error', () => {})
  socket.write(text)
  onTestFinished(() => void socket.destroy())
  return socket
}

/** All that comes, with a pause after each part, so that it takes longer than the server looks for idle connections. */
async function readSlowly(socket: Socket): Promise<Buffer> {
  const parts: Buffer[] = []
  for await (const part of socket) {
    parts.push(part)
    if (parts.length % 8 === 0) await pause(1)
  }
  return Buffer.concat(parts)
}

const GET = (path = '/') => `GET ${path} HTTP/1.1\r\nHost: slow\r\n\r\n`

/** The server has ended an answer whose bytes are still to be sent. */
async function untilEnded(server: Server, text: string, port: number): Promise<Socket> {
  const client = aSlowClient(port, text)
  await once(server, 'ended')
  return client
}

const endsWhole: RequestListener = (_, response) => void response.end(BODY)

const THIRD = BODY.subarray(0, SIZE / 2.5)

const writesInParts: RequestListener = (_, response) => {
  for (let sent = 0; sent < SIZE; sent += SIZE / 10) response.write(BODY.subarray(sent, sent + SIZE / 10))
  response.end()
}

const tells =
  (server: () => Server, listener: RequestListener): RequestListener =>
  (request, response) => {
    listener(request, response)
    server().emit('ended')
  }

/** How many bytes of the answers' bodies came, without heads and the frames of chunks. */
function bytes(received: Buffer): number {
  let count = 0
  for (const byte of received) if (byte === BODY[0]) count += 1
  return count
}

describe('an answer that the app has ended arrives whole at a client that reads slowly, although the server closes', () => {
  test.for([
    ['of one part', endsWhole],
    ['of chunks', writesInParts],
  ] as const)('%s, on a keep-alive connection', async ([, listener]) => {
    const { registry } = aNamespace(etcd)
    const server: Server = aServer(tells(() => server, listener))
    const attached = attach(server, registry, PATIENT)
    const port = await listen(server)
    await ready(attached)
    const client = await untilEnded(server, GET(), port)
    const over = closed(server)
    await until(() => !server.listening)
    expect(bytes(await readSlowly(client))).toBe(SIZE)
    await over
    expect(registry.warnings).toEqual([])
  })

  test('three that were asked for at once', async () => {
    const { registry } = aNamespace(etcd)
    let ended = 0
    const server: Server = aServer((_, response) => {
      response.end(THIRD)
      ended += 1
    })
    const attached = attach(server, registry, PATIENT)
    const port = await listen(server)
    await ready(attached)
    const client = aSlowClient(port, GET().repeat(3))
    await until(() => ended === 3)
    const over = closed(server)
    await until(() => !server.listening)
    expect(bytes(await readSlowly(client))).toBe(3 * THIRD.length)
    await over
  })

  test.for(['before', 'during'])(
    'three that were asked for at once %s the drain, and are answered late',
    async when => {
      const { registry } = aNamespace(etcd)
      const answers: (() => void)[] = []
      const server = aServer((_, response) => void answers.push(() => response.end(THIRD)))
      const attached = attach(server, registry, { ...PATIENT, drainDelay: when === 'during' ? 1000 : 0 })
      const port = await listen(server)
      await ready(attached)
      const early = when === 'during' ? closed(server) : undefined
      if (early !== undefined) await until(() => attached.state === 'draining')
      const client = aSlowClient(port, GET().repeat(3))
      await until(() => answers.length === 3)
      const over = early ?? closed(server)
      await until(() => !server.listening)
      for (const answer of answers) answer()
      expect(bytes(await readSlowly(client))).toBe(3 * THIRD.length)
      await over
    },
  )

  test('over TLS', async () => {
    const { registry } = aNamespace(etcd)
    const authority = await createCertificateAuthority()
    const { cert, key } = await authority.issue({ hosts: ['127.0.0.1'] })
    const server: Server = closedWithTest(
      createHttpsServer(
        { cert, key },
        tells(() => server, endsWhole),
      ),
    )
    const attached = attach(server, registry, PATIENT)
    const port = await listen(server)
    await ready(attached)
    const ended = once(server, 'ended')
    const client = aSlowClient(port, GET(), () => connectTls({ port, host: '127.0.0.1', ca: authority.ca }))
    await ended
    const over = closed(server)
    await until(() => !server.listening)
    expect(bytes(await readSlowly(client))).toBe(SIZE)
    await over
  })

  test('over HTTP/2', async () => {
    const { registry } = aNamespace(etcd)
    const server = closedWithTest(createHttp2Server((_, response) => void response.end(BODY)))
    const attached = attach(server, registry, PATIENT)
    const port = await listen(server)
    await ready(attached)
    const session = connectHttp2(`http://127.0.0.1:${port}`)
    onTestFinished(() => session.destroy())
    const stream = session.request()
    await once(server, 'request')
    const over = closed(server)
    await until(() => !server.listening)
    let received = 0
    for await (const part of stream) received += part.length
    expect(received).toBe(SIZE)
    await over
  })

  test('on an upgraded connection, which shutdown() waits for', async () => {
    const { registry } = aNamespace(etcd)
    const server = closedWithTest(createHttpServer())
    server.on('upgrade', (_, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
      socket.end(BODY)
    })
    const attached = attach(server, registry, PATIENT)
    const port = await listen(server)
    await ready(attached)
    const upgrade = `GET / HTTP/1.1\r\nHost: slow\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n`
    const upgraded = once(server, 'upgrade')
    const client = aSlowClient(port, upgrade)
    const [, socket] = (await upgraded) as [unknown, Socket]
    let sent = -1
    const over = attached.shutdown().then(() => {
      sent = SIZE - socket.writableLength
    })
    await until(() => !server.listening)
    expect(bytes(await readSlowly(client))).toBe(SIZE)
    await over
    expect(sent).toBe(SIZE)
  })
})

test('what Node closes as idle otherwise is closed at once', async () => {
  const { registry } = aNamespace(etcd)
  const server = aServer()
  const attached = attach(server, registry, PATIENT)
  const port = await listen(server)
  await ready(attached)
  const client = aSlowClient(port, GET())
  client.resume()
  await once(client, 'data')
  const over = closed(server)
  await Promise.all([once(client, 'close'), over])
  expect(registry.warnings).toEqual([])
})

describe('what shutdownTimeout cuts is one warning with its number', () => {
  test('answers that were under way, and an idle upgraded connection', async () => {
    const { registry } = aNamespace(etcd)
    const server: Server = aServer(tells(() => server, endsWhole))
    server.on('upgrade', (_, socket) => {
      socket.write('HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n')
    })
    const attached = attach(server, registry, { shutdownTimeout: 300 })
    const port = await listen(server)
    await ready(attached)
    await untilEnded(server, GET(), port)
    await untilEnded(server, GET(), port)
    const upgraded = once(server, 'upgrade')
    aSlowClient(port, `GET / HTTP/1.1\r\nHost: slow\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n`)
    await upgraded
    await closed(server)
    expect(registry.warnings).toEqual([
      'cut 3 connections of "orders" after shutdownTimeout (300 ms), with 2 requests under way',
    ])
  })

  test('a request that nobody answers', async () => {
    const { registry } = aNamespace(etcd)
    const server = aServer(() => {})
    const attached = attach(server, registry, { shutdownTimeout: 200 })
    const port = await listen(server)
    await ready(attached)
    aSlowClient(port, GET())
    await once(server, 'request')
    await closed(server)
    expect(registry.warnings).toEqual([
      'cut 1 connection of "orders" after shutdownTimeout (200 ms), with 1 request under way',
    ])
  })
})

test('attaching leaves a server as it was once it lets go, also where two were attached', async () => {
  const { registry } = aNamespace(etcd)
  const server = aServer()
  const before = Object.getOwnPropertyNames(server)
  const attached = ['one', 'two'].map(name => attach(server, registry, { name }))
  await listen(server)
  for (const one of attached) await one.close()
  await closed(server)
  expect(Object.hasOwn(server, 'closeIdleConnections')).toBe(false)
  expect(
    Object.getOwnPropertyNames(server).filter(name => !before.includes(name) && name.startsWith('close')),
  ).toEqual([])
})
