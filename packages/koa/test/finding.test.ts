import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createRequire } from 'node:module'
import type { AddressInfo } from 'node:net'
import { etcdRegister } from '@etcd-register/koa'
import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { takeOver, watchService, withTerminus } from 'adapter-contract'
import Koa from 'koa'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'

let etcd: EtcdMember
let count = 0

beforeAll(async () => {
  etcd = await startEtcdBinary()
})

afterAll(() => etcd?.stop())

/** For a service of its own; closed with the test. */
async function aMiddleware() {
  count += 1
  const name = `koa-found-${count}`
  const warnings: string[] = []
  const ignore = () => {}
  const warn = (_: object, message: string) => warnings.push(message)
  const logger = { debug: ignore, info: ignore, warn, error: warn }
  const view = await watchService(etcd, name)
  const middleware = etcdRegister({ hosts: etcd.endpoint, name, drainDelay: 0, logger })
  onTestFinished(() => middleware.close())
  return { middleware, warnings, view }
}

/** Listens with an app of no concern beside it, which has to stay out. */
async function portOf(server: Server): Promise<number> {
  const listening = async (one: Server) => {
    onTestFinished(() => void one.close())
    if (!one.listening) await once(one.listen(0, '127.0.0.1'), 'listening')
    return (one.address() as AddressInfo).port
  }
  await listening(createServer(new Koa().use(() => {}).callback()))
  return listening(server)
}

/** As tracers do: what `use` is given is called from a function of theirs. Undone with the test. */
function traceUse(prototype: Koa): void {
  const present = Object.getOwnPropertyDescriptor(prototype, 'use')!
  const use: Koa['use'] = present.value
  const traced = function (this: Koa, middleware: Koa.Middleware) {
    return use.call(this, (context, next) => middleware(context, next))
  }
  Object.defineProperty(prototype, 'use', { ...present, value: traced })
  onTestFinished(() => void Object.defineProperty(prototype, 'use', present))
}

/** The same for the listener that an app makes. */
function traceCallback(prototype: Koa): void {
  const present = Object.getOwnPropertyDescriptor(prototype, 'callback')!
  const callback: Koa['callback'] = present.value
  const traced = function (this: Koa): RequestListener {
    const handler = callback.call(this)
    return (request, response) => handler(request, response)
  }
  Object.defineProperty(prototype, 'callback', { ...present, value: traced })
  onTestFinished(() => void Object.defineProperty(prototype, 'callback', present))
}

/** The other major, under another name; what this package resolves is the one under test. */
function otherKoa(): typeof Koa {
  const require = createRequire(import.meta.url)
  return require(process.env.FRAMEWORK === 'koa2' ? 'koa' : 'koa2')
}

describe('the server is registered when it listens', () => {
  test.each<[string, (middleware: Koa.Middleware) => Server]>([
    [
      'taken over before the app has the middleware',
      middleware => {
        const app = new Koa()
        const server = takeOver(createServer(app.callback()))
        app.use(middleware)
        return server
      },
    ],
    ['taken over after it', middleware => takeOver(createServer(new Koa().use(middleware).callback()))],
    [
      'with @godaddy/terminus',
      middleware => withTerminus(createServer(new Koa().use(middleware).callback())),
    ],
    [
      '`use` traced before the app is there',
      middleware => {
        traceUse(Koa.prototype)
        return createServer(new Koa().use(middleware).callback())
      },
    ],
    [
      '`use` traced after the app is there',
      middleware => {
        const app = new Koa()
        traceUse(Koa.prototype)
        return createServer(app.use(middleware).callback())
      },
    ],
    [
      '`callback` traced',
      middleware => {
        const app = new Koa()
        traceCallback(Koa.prototype)
        return createServer(app.use(middleware).callback())
      },
    ],
    [
      'with another copy of Koa that is loaded later',
      middleware => {
        const app = new (otherKoa())()
        return createServer(app.use(middleware).callback())
      },
    ],
    [
      'with another copy of Koa that is traced, and taken over',
      middleware => {
        const Other = otherKoa()
        traceUse(Other.prototype)
        return takeOver(createServer(new Other().use(middleware).callback()))
      },
    ],
  ])('%s', async (_, make) => {
    const { middleware, warnings, view } = await aMiddleware()
    const port = await portOf(make(middleware))
    await view.toHavePorts(port)
    await fetch(`http://127.0.0.1:${port}/`)
    expect(warnings).toEqual([])
  })

  test('with another copy of Koa that was loaded, and its app made, before the middleware', async () => {
    const app = new (otherKoa())()
    const { middleware, warnings, view } = await aMiddleware()
    await view.toHavePorts(await portOf(app.use(middleware).listen(0, '127.0.0.1')))
    expect(warnings).toEqual([])
  })
})

test('an app is what it is without: neither more names nor other methods are seen', () => {
  const app = new Koa()
  const names: string[] = []
  for (const name in app) names.push(name)
  const own = Object.keys(app)
  expect(own).toContain('middleware')
  for (const list of [names, own]) {
    expect(list).not.toContain('use')
    expect(list).not.toContain('callback')
  }
  class Api extends Koa {
    made = 0
    override callback() {
      this.made += 1
      return super.callback()
    }
  }
  const api = new Api()
  api.use(async () => {}).callback()
  expect(api.made).toBe(1)
  expect(() => new Koa().use('no function' as never)).toThrow(TypeError)
})

test('behind a listener of its own it warns within 2 s, and says when it is over', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  const warnings: string[] = []
  const warn = (_: object, message: string) => warnings.push(message)
  const logger = { debug() {}, info() {}, warn, error: warn }
  const middleware = etcdRegister({ hosts: etcd.endpoint, name: 'koa-hidden', drainDelay: 0, logger })
  onTestFinished(() => middleware.close())
  const handle = new Koa().use(middleware).callback()
  const server = createServer((request, response) => handle(request, response)).listen(0, '127.0.0.1')
  onTestFinished(() => void server.close())
  await once(server, 'listening')
  vi.advanceTimersByTime(2000)
  expect(warnings).toEqual([
    expect.stringMatching(/"koa-hidden" is not registered: .*pass it as "server", or call attach\(server\)/),
  ])
  middleware.attach(server)
  expect(warnings.slice(1)).toEqual(['the server of "koa-hidden" was found'])
})
