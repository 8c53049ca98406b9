import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { type EtcdRegisterOptions, etcdRegister, type Logger } from '@etcd-register/koa'
import { createCertificateAuthority, type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { watchService } from 'adapter-contract'
import Koa from 'koa'
import mount from 'koa-mount'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'

let etcd: EtcdMember
let count = 0

beforeAll(async () => {
  etcd = await startEtcdBinary()
})

afterAll(() => etcd?.stop())

/** For a service of its own, with what is seen of it and what it warned of; closed with the test. */
async function aMiddleware(options: EtcdRegisterOptions = {}) {
  count += 1
  const name = `koa-${count}`
  const warnings: string[] = []
  const ignore = () => {}
  const warn = (_: object, message: string) => warnings.push(message)
  const logger: Logger = { debug: ignore, info: ignore, warn, error: warn }
  const view = await watchService(etcd, name)
  const middleware = etcdRegister({ hosts: etcd.endpoint, name, drainDelay: 0, logger, ...options })
  onTestFinished(() => middleware.close())
  return { middleware, warnings, view }
}

async function listening<S extends Server>(server: S): Promise<{ server: S; port: number }> {
  onTestFinished(() => void server.close())
  if (!server.listening) await once(server, 'listening')
  return { server, port: (server.address() as AddressInfo).port }
}

test('mounted after the app listens, it registers', async () => {
  const app = new Koa()
  const { port } = await listening(app.listen(0, '127.0.0.1'))
  const { middleware, view, warnings } = await aMiddleware()
  app.use(middleware)
  await view.toHavePorts(port)
  expect(warnings).toEqual([])
})

test('put before the other middleware by hand, it registers', async () => {
  const app = new Koa()
  const { middleware, view } = await aMiddleware()
  app.middleware.unshift(middleware)
  const { port } = await listening(app.listen(0, '127.0.0.1'))
  await view.toHavePorts(port)
})

test('an app that extends Koa is found', async () => {
  class Api extends Koa {
    override callback() {
      return super.callback()
    }
  }
  const { middleware, view } = await aMiddleware()
  const { port } = await listening(new Api().use(middleware).listen(0, '127.0.0.1'))
  await view.toHavePorts(port)
})

test('every server of the app is registered, https with its protocol, and a server beside it is not', async () => {
  const { middleware, view } = await aMiddleware()
  const app = new Koa().use(middleware)
  const { cert, key } = await (await createCertificateAuthority()).issue()
  const metrics = await listening(createServer((_, response) => void response.end()).listen(0, '127.0.0.1'))
  const other = await listening(new Koa().listen(0, '127.0.0.1'))
  const http = await listening(createServer(app.callback()).listen(0, '127.0.0.1'))
  const https = await listening(createHttpsServer({ cert, key }, app.callback()).listen(0, '127.0.0.1'))
  const seen = () => Object.fromEntries(view.instances.map(({ port, protocol }) => [port, protocol]))
  await expect.poll(seen).toEqual({ [http.port]: 'http', [https.port]: 'https' })
  for (const beside of [metrics, other]) expect(seen()).not.toHaveProperty(String(beside.port))
})

test.each<[string, (app: Koa, middleware: Koa.Middleware) => RequestListener]>([
  ['behind a listener of its own', (app, middleware) => wrapped(app.use(middleware).callback())],
  ['inside another middleware', (app, inner) => app.use((context, next) => inner(context, next)).callback()],
])('%s, the server is found with the first request, and it warns', async (_, listener) => {
  const { middleware, view, warnings } = await aMiddleware()
  const { port } = await listening(createServer(listener(new Koa(), middleware)).listen(0, '127.0.0.1'))
  expect(middleware.registration).toBeUndefined()
  for (let request = 0; request < 2; request += 1) await fetch(`http://127.0.0.1:${port}/`)
  await view.toHavePorts(port)
  expect(warnings).toEqual([expect.stringMatching(/first request.*"server"/)])
})

const wrapped =
  (listener: RequestListener): RequestListener =>
  (request, response) =>
    listener(request, response)

test.each<[string, boolean]>([
  ['the option "server"', true],
  ['attach(server)', false],
])('a server that cannot be found is named with %s', async (_, byOption) => {
  const app = new Koa()
  const server = createServer((request, response) => app.callback()(request, response))
  const { middleware, view, warnings } = await aMiddleware(byOption ? { server } : {})
  app.use(middleware)
  if (!byOption) middleware.attach(server)
  const { port } = await listening(server.listen(0, '127.0.0.1'))
  await view.toHavePorts(port)
  expect(warnings).toEqual([])
})

test('in an app that another one is mounted over, it registers with the first request, and warns once', async () => {
  const { middleware, warnings, view } = await aMiddleware()
  const inner = new Koa().use(middleware)
  const { port } = await listening(new Koa().use(mount('/inner', inner)).listen(0, '127.0.0.1'))
  expect(middleware.registration).toBeUndefined()
  for (let time = 1; time <= 2; time += 1) await fetch(`http://127.0.0.1:${port}/inner`)
  await view.toHavePorts(port)
  expect(warnings).toEqual([expect.stringMatching(/with the first request only.*pass it as "server"/)])
})

test('close() deregisters it for good, and the app serves on', async () => {
  const { middleware, view } = await aMiddleware()
  const app = new Koa().use(middleware)
  app.use(context => {
    context.body = 'ok'
  })
  const { port } = await listening(app.listen(0, '127.0.0.1'))
  await view.toHavePorts(port)
  await middleware.close()
  await view.toHavePorts()
  expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('ok')
  expect(middleware.registration?.state).toBe('closed')
})

test('what the rest of the stack returns and throws passes through', async () => {
  const { middleware } = await aMiddleware({ enabled: false })
  const context = {} as Koa.ParameterizedContext
  expect(await middleware(context, async () => 'returned')).toBe('returned')
  await expect(middleware(context, () => Promise.reject(new Error('thrown')))).rejects.toThrow('thrown')
})

test('an invalid option throws at the call', () => {
  expect(() => etcdRegister({ ttl: 1 })).toThrow(expect.objectContaining({ code: 'ERR_INVALID_OPTION' }))
})
