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

test('throttle limits each direction, and restore ends it', async () => {
  const client = await dial()
  proxy.throttle(40_000)
  const began = performance.now()
  expect(await echo(client, 'x'.repeat(20_000))).toHaveLength(20_000)
  // half a second for the way up, less what may be caught up; the way down overlaps with it
  expect(performance.now() - began).toBeGreaterThan(400)
  const rest = receive(client, 2_000_000)
  client.write('y'.repeat(2_000_000)) // 50 s at that rate
  await proxy.restore()
  expect(await rest).toBe('y'.repeat(2_000_000))
})

test.each([0, Number.POSITIVE_INFINITY])('throttle(%s) means no limit', async bytesPerSecond => {
  const client = await dial()
  proxy.throttle(1)
  const answer = echo(client, 'x'.repeat(100_000))
  proxy.throttle(bytesPerSecond)
  expect(await answer).toHaveLength(100_000)
  for (const wrong of [-1, Number.NaN]) expect(() => proxy.throttle(wrong)).toThrow(RangeError)
})

test('connections share a throttled link in equal turns, also with one that came first with much more', async () => {
  const greedy = await dial()
  await echo(greedy, 'a')
  const modest = await dial()
  proxy.throttle(200_000)
  greedy.write('x'.repeat(1_000_000))
  await arrived(accepted[0], 2)
  expect(await echo(modest, 'y'.repeat(20_000))).toHaveLength(20_000)
  expect(accepted[0]!.bytesRead).toBeGreaterThan(15_000)
  expect(accepted[0]!.bytesRead).toBeLessThan(100_000)
})

test('a throttled sender has to wait: the link holds little', async () => {
  const client = await dial()
  await echo(client, 'a')
  proxy.throttle(20_000)
  let sent = 0
  const send = () => {
    while (!client.destroyed && client.write(Buffer.alloc(65_536))) sent += 65_536
  }
  client.on('drain', send)
  send()
  await arrived(accepted[0], 10_000)
  // what was sent and has not arrived is in buffers of the kernel; an open link takes as much in milliseconds
  expect(sent).toBeLessThan(16 * 1024 * 1024)
  expect(proxy.bytes.up).toBeLessThan(20_000)
})

test('a throttled link keeps order, faults and the end of connections', async () => {
  const client = await dial()
  proxy.throttle(100_000)
  const text = Array.from({ length: 2000 }, (_, index) => `${index},`).join('')
  client.write(text)
  proxy.freeze()
  client.end()
  proxy.throttle(50_000)
  let got = ''
  client.on('data', chunk => {
    got += chunk
  })
  const ended = once(client, 'end')
  const later = await dial()
  later.destroy()
  await proxy.restore()
  await ended
  expect(got).toBe(text)
})

test('a mute connection is accepted, and nothing is said on it, also after restore', async () => {
  const open = await dial()
  await echo(open, 'a')
  proxy.mute()
  const silent = [await dial(), await dial()]
  let said = 0
  for (const socket of silent) {
    socket.on('data', () => {
      said += 1
    })
    socket.write('hello')
  }
  expect(await echo(open, 'goes on')).toBe('goes on')
  await proxy.restore()
  expect(await echo(await dial(), 'new')).toBe('new')
  expect(said).toBe(0)
  expect(accepted).toHaveLength(2)
  expect([proxy.accepted, proxy.muted, proxy.connections]).toEqual([4, 2, 4])
  silent[0]!.end()
  await once(silent[0]!, 'close')
  const reset = closing(silent[1]!)
  proxy.drop()
  await reset
  await expect.poll(() => proxy.connections).toBe(0)
})

test('mute can be for the next connections only', async () => {
  const first = await dial()
  await echo(first, 'a')
  proxy.mute({ connections: 1 })
  const closed = closing(first)
  proxy.drop()
  await closed
  await dial()
  expect(await echo(await dial(), 'second')).toBe('second')
  expect(proxy.muted).toBe(1)
  proxy.mute()
  proxy.mute({ connections: 0 })
  expect(await echo(await dial(), 'third')).toBe('third')
  expect(() => proxy.mute({ connections: -1 })).toThrow(RangeError)
})

test('bytes are counted by direction, those of closed connections included', async () => {
  const client = await dial()
  await echo(client, 'hello')
  expect(proxy.bytes).toEqual({ up: 5, down: 5 })
  accepted[0]!.write('news')
  await receive(client, 4)
  client.destroy()
  expect(await echo(await dial(), 'more')).toBe('more')
  expect(proxy.bytes).toEqual({ up: 9, down: 13 })
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
  await using named = await startFaultProxy({ endpoint: 'https://localhost:1' })
  expect(named.endpoint).toBe(`https://localhost:${named.port}`)
})
