import { EventEmitter } from 'node:events'
import { createServer, Server as HttpServer } from 'node:http'
import { createServer as createHttp2Server, createSecureServer } from 'node:http2'
import { createServer as createHttpsServer } from 'node:https'
import { Server as NetServer } from 'node:net'
import { createCertificateAuthority } from '@etcd-register/testing'
import { expect, onTestFinished, test } from 'vitest'
import { requestListeners } from '../../src/server/request-listeners.ts'
import { closedWithTest, listen } from '../support/server-side.ts'

const { cert, key } = await (await createCertificateAuthority()).issue()
const app = (): void => {}

test.each<[string, () => NetServer]>([
  ['http', () => createServer(app)],
  ['new http.Server', () => new HttpServer(app)],
  ['of a class that extends it', () => new (class extends HttpServer {})(app)],
  ['https', () => createHttpsServer({ cert, key }, app)],
  ['http2', () => createHttp2Server(app as never)],
  ['http2 over TLS', () => createSecureServer({ cert, key }, app as never)],
  ['with the listener added', () => createServer().addListener('request', app)],
])('what a server was created with is known after it was removed: %s', (_, create) => {
  const server = create()
  server.removeAllListeners('request')
  expect(requestListeners(server)).toEqual([app])
  expect(requestListeners(createServer())).toEqual([])
})

test('a server that listens holds on to no listener that it had meanwhile', async () => {
  const server = closedWithTest(createServer())
  await listen(server)
  server.on('request', app)
  expect(requestListeners(server)).toEqual([app])
  server.off('request', app)
  expect(requestListeners(server)).toEqual([])
})

test('listeners of servers are what they are without, and so are those of other emitters', () => {
  const names: string[] = []
  for (const name in NetServer.prototype) names.push(name)
  expect(names.filter(name => name === 'on')).toHaveLength(1)
  expect(Object.hasOwn(HttpServer.prototype, 'on')).toBe(false)

  const { on } = EventEmitter.prototype
  onTestFinished(() => void Object.assign(EventEmitter.prototype, { on }))
  const seen: unknown[] = []
  EventEmitter.prototype.on = function (event, listener) {
    seen.push(event)
    return on.call(this, event, listener)
  }
  const server = new NetServer()
  expect(server.on('request', app)).toBe(server)
  expect(seen).toEqual(['request'])
  expect(server.listeners('request')).toEqual([app])
})
