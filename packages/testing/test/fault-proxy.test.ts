import { once } from 'node:events'
import { type AddressInfo, connect, createServer, type Server, type Socket } from 'node:net'
import { type FaultProxy, startFaultProxy } from '@etcd-register/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { resetSocket } from '../src/fault-flow.ts'

let server: Server
let accepted: Socket[]
let proxy: FaultProxy
let clients: Socket[]

beforeEach(async () => {
  accepted = []
  clients = []
  server = createServer({ allowHalfOpen: true }, socket => {
    accepted.push(socket)
    socket.on('error', () => {})
    socket.pipe(socket)
  })
  await new Promise<void>(resolve => server.listen(0, '127.0.0.1', resolve))
  proxy = await startFaultProxy(`http://127.0.0.1:${(server.address() as AddressInfo).port}`)
})

afterEach(async () => {
  await proxy.stop()
  for (const socket of [...clients, ...accepted]) socket.destroy()
  await new Promise(resolve => server.close(resolve))
})

async function dial(): Promise<Socket> {
  const socket = connect({ port: proxy.port, host: '127.0.0.1' })
  clients.push(socket)
  await once(socket, 'connect')
  return socket
}

/** Resolves when it is closed, with or without an error. */
function closing(socket: Socket): Promise<void> {
  return new Promise(resolve => socket.on('error', () => {}).once('close', () => resolve()))
}

/** The next `length` bytes that come. */
function receive(socket: Socket, length: number): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = ''
    const onData = (chunk: Buffer) => {
      text += chunk
      if (text.length < length) return
      socket.off('data', onData)
      resolve(text)
    }
    socket.on('data', onData)
    socket.once('error', reject)
  })
}

async function echo(socket: Socket, text: string): Promise<string> {
  const answer = receive(socket, text.length)
  socket.write(text)
  return answer
}

/** Resolves when the target got so many bytes on its connection; a marker that the link has settled. */
async function arrived(socket: Socket | undefined, bytes: number): Promise<void> {
  while ((socket?.bytesRead ?? 0) < bytes) await once(socket!, 'data')
}

test('passes bytes both ways, and the end of a connection', async () => {
  const client = await dial()
  expect(await echo(client, 'hello')).toBe('hello')
  expect(proxy.connections).toBe(1)
  client.end()
  await once(client, 'close')
  await expect.poll(() => proxy.connections).toBe(0)
})

test('passes a megabyte to a slow reader unchanged', async () => {
  const client = await dial()
  const sent = Buffer.alloc(4 * 1024 * 1024, 'abcdefghij').toString()
  client.write(sent)
  client.end()
  let got = ''
  for await (const chunk of client) got += chunk
  expect(got === sent).toBe(true)
})

test('cut resets connections and refuses new ones until restore', async () => {
  const client = await dial()
  await echo(client, 'one')
  const closed = closing(client)
  await proxy.cut()
  await closed
  expect(proxy.connections).toBe(0)
  await expect(dial()).rejects.toThrow('ECONNREFUSED')
  await proxy.restore()
  expect(await echo(await dial(), 'two')).toBe('two')
})

test('drop resets connections and accepts new ones', async () => {
  const client = await dial()
  await echo(client, 'one')
  const failed = once(client, 'error')
  proxy.drop()
  expect((await failed)[0]).toMatchObject({ code: 'ECONNRESET' })
  expect(await echo(await dial(), 'two')).toBe('two')
})

test('freeze holds bytes in both directions and restore delivers them in order', async () => {
  const client = await dial()
  await echo(client, 'a')
  proxy.freeze()
  const answers = receive(client, 6)
  for (const text of ['bb', 'cc', 'dd']) client.write(text)
  const later = await dial() // accepted, and hangs
  const laterAnswer = receive(later, 1)
  later.write('z')
  expect(accepted[0]!.bytesRead).toBe(1)
  await proxy.restore()
  expect(await answers).toBe('bbccdd')
  expect(await laterAnswer).toBe('z')
})

test('freeze of the down direction lets bytes reach the target and holds its answers', async () => {
  const client = await dial()
  await echo(client, 'a')
  proxy.freeze('down')
  const answer = receive(client, 2)
  client.write('bb')
  await arrived(accepted[0], 3)
  expect(client.bytesRead).toBe(1)
  await proxy.restore()
  expect(await answer).toBe('bb')
})

test('freeze of the up direction lets what the target says through', async () => {
  const client = await dial()
  await echo(client, 'a')
  proxy.freeze('up')
  client.write('bb')
  const news = receive(client, 4)
  accepted[0]!.write('news')
  expect(await news).toBe('news')
  expect(accepted[0]!.bytesRead).toBe(1)
})

test('a frozen link does not show that the target is gone', async () => {
  const client = await dial()
  await echo(client, 'a')
  let closed = false
  client
    .on('error', () => {})
    .once('close', () => {
      closed = true
    })
  proxy.freeze()
  accepted[0]!.resetAndDestroy()
  const later = await dial()
  await expect.poll(() => accepted.length).toBe(2)
  expect(closed).toBe(false)
  later.destroy()
  await proxy.restore()
  await expect.poll(() => closed).toBe(true)
})

test('a frozen client that leaves is counted out after restore', async () => {
  const client = await dial()
  await echo(client, 'a')
  proxy.freeze()
  client.resetAndDestroy()
  await proxy.restore()
  await expect.poll(() => proxy.connections).toBe(0)
})

test('delay holds each direction for so many milliseconds and keeps the order', async () => {
  const client = await dial()
  await echo(client, 'a')
  proxy.delay(40)
  const start = performance.now()
  const answer = receive(client, 4)
  client.write('bb')
  client.write('cc')
  expect(await answer).toBe('bbcc')
  expect(performance.now() - start).toBeGreaterThanOrEqual(79)
  proxy.delay(10_000)
  const quick = receive(client, 2)
  client.write('dd')
  await proxy.restore()
  expect(await quick).toBe('dd')
})

test('cutAfter passes exactly so many bytes to the client and then ends the connection', async () => {
  const client = await dial()
  await echo(client, 'a')
  const cut = proxy.cutAfter(5)
  let got = ''
  client.on('data', chunk => {
    got += chunk
  })
  client.write('0123456789')
  await cut
  await once(client, 'close')
  expect(got).toBe('01234')
  expect(await echo(await dial(), 'next')).toBe('next')
})

test('restore calls a pending cutAfter off', async () => {
  const client = await dial()
  const cut = proxy.cutAfter(1)
  await proxy.restore()
  await cut
  expect(await echo(client, 'still here')).toBe('still here')
})

test('a target that is not there resets the client', async () => {
  await new Promise(resolve => server.close(resolve))
  const client = await dial()
  const [error] = await once(client, 'error')
  expect(error).toMatchObject({ code: 'ECONNRESET' })
  server = createServer().listen(0, '127.0.0.1')
})

test('stop resets connections, frees the port and can be called again', async () => {
  const client = await dial()
  const closed = closing(client)
  await proxy.stop()
  await closed
  await proxy.stop()
  await expect(dial()).rejects.toThrow('ECONNREFUSED')
  await expect(proxy.restore()).rejects.toThrow('stopped')
})

test('a connection whose end is on its way can be reset', async () => {
  const client = await dial()
  const errors: Error[] = []
  client.on('error', error => errors.push(error))
  client.end()
  resetSocket(client)
  await once(client, 'close')
  expect(errors).toEqual([])
})

test('keeps the protocol of its target in the endpoint', async () => {
  await using secure = await startFaultProxy({ endpoint: 'https://127.0.0.1:1' })
  expect(secure.endpoint).toBe(`https://127.0.0.1:${secure.port}`)
})
