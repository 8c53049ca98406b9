import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import { createRequire } from 'node:module'
import { type AddressInfo, createServer as createNetServer } from 'node:net'
import { createRegistry, type EtcdRegisterOptions, etcdRegister } from '@etcd-register/express'
import { createCertificateAuthority, type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { takeOver, withTerminus } from 'adapter-contract'
import express5, { type Express, type RequestHandler } from 'express'
import express4 from 'express4'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'

const require = createRequire(import.meta.url)
let etcd: EtcdMember
let count = 0

beforeAll(async () => {
  etcd = await startEtcdBinary()
})

afterAll(() => etcd?.stop())

describe.each([
  ['express4', '4.22.3', express4],
  ['express', '5.3.0', express5],
] as const)('%s %s', (name, version, express) => {
  /** The middleware with a namespace of its own, what it warned of, and the keys of its service. */
  function aMiddleware(options: EtcdRegisterOptions = {}) {
    count += 1
    const namespace = `/${name}-${count}`
    const warnings: string[] = []
    const ignore = () => {}
    const warn = (_: object, message: string) => warnings.push(message)
    const logger = { debug: ignore, info: ignore, warn, error: warn }
    const own = options.registry === undefined && { hosts: etcd.endpoint, namespace, ttl: 60, logger }
    const middleware = etcdRegister({ name: 'orders', drainDelay: 0, signals: false, ...own, ...options })
    onTestFinished(() => middleware.close())
    const keys = async () => {
      const text = await etcd.etcdctl('get', '--prefix', '--keys-only', `${namespace}/`)
      return text.split('\n').filter(line => line !== '')
    }
    const key = (server: Server) => `${namespace}/orders/127.0.0.1:${portOf(server)}`
    return { middleware, warnings, keys, key }
  }

  const portOf = (server: Server) => (server.address() as AddressInfo).port

  async function listening<T extends Server>(server: T): Promise<T> {
    onTestFinished(() => void (server.listening && server.close()))
    if (!server.listening) await once(server, 'listening')
    return server
  }

  const listen = (app: Express) => listening(app.listen(0, '127.0.0.1') as Server)

  function closed(server: Server): Promise<unknown> {
    const over = once(server, 'close')
    server.close()
    return over
  }

  test('is what was loaded', () => {
    expect((require(`${name}/package.json`) as { version: string }).version).toBe(version)
  })

  test.each<[string, (app: Express, middleware: RequestListener) => void]>([
    ['app.use(it)', (app, it) => app.use(it)],
    ['app.use(path, it)', (app, it) => app.use('/orders', it)],
    ['app.use([it])', (app, it) => app.use([it] as never)],
    ['twice', (app, it) => app.use(it).use(it)],
    [
      'in a sub-app that is mounted already',
      (app, it) => {
        const inner = express()
        app.use('/inner', inner)
        inner.use(it)
      },
    ],
    [
      'in a sub-app that is mounted later, two deep',
      (app, it) => {
        const [outer, inner] = [express(), express()]
        inner.use(it)
        outer.use('/inner', inner)
        app.use('/outer', outer)
      },
    ],
    ['in a router', (app, it) => app.use(express.Router().use(it))],
    [
      'in a router that is mounted empty, two deep',
      (app, it) => {
        const [outer, inner] = [express.Router(), express.Router()]
        app.use('/outer', outer)
        outer.use('/inner', inner)
        // A router may lead back to itself.
        inner.use('/again', outer)
        inner.use(it)
      },
    ],
    ['in a route', (app, it) => app.get('/orders', it)],
  ])('registers the server while it listens: %s', async (_, use) => {
    const { middleware, warnings, keys, key } = aMiddleware()
    const app = express()
    use(app, middleware as never)
    app.get('/', (_request, response) => void response.send('ok'))
    expect(middleware.registration).toBeUndefined()
    const server = await listen(app)
    await middleware.registration!.ready()
    expect(await keys()).toEqual([key(server)])
    expect(await (await fetch(`http://127.0.0.1:${portOf(server)}/`)).text()).toBe('ok')
    await closed(server)
    expect(await keys()).toEqual([])
    expect(warnings).toEqual([])
  })

  test('registers a server that listens already when it is mounted, and no server of another app', async () => {
    const { middleware, keys, key } = aMiddleware()
    const app = express()
    const server = await listen(app)
    await listen(express())
    app.use(middleware)
    await middleware.registration!.ready()
    await listen(express())
    expect(await keys()).toEqual([key(server)])
  })

  test('registers an https server as https', async () => {
    const { middleware } = aMiddleware()
    const app = express()
    app.use(middleware)
    const pair = await (await createCertificateAuthority()).issue()
    const server = await listening(createHttpsServer(pair, app).listen(0, '127.0.0.1'))
    await middleware.registration!.ready()
    expect(middleware.registration!.instance.endpoints).toEqual([`https://127.0.0.1:${portOf(server)}`])
  })

  test('registers again when the server listens again', async () => {
    const { middleware, keys, key } = aMiddleware()
    const app = express()
    app.use(middleware)
    await closed(await listen(app))
    const server = createServer(app)
    for (let time = 1; time <= 2; time += 1) {
      await listening(server.listen(0, '127.0.0.1'))
      await middleware.registration!.ready()
      expect(await keys()).toEqual([key(server)])
      await closed(server)
      expect(await keys()).toEqual([])
    }
  })

  test('is mounted as a middleware: Express does for it what it does for any other', () => {
    const { middleware } = aMiddleware({ enabled: false })
    const app = express()
      .use(() => {}, middleware)
      .use('/path', middleware)
    const { stack } = (name === 'express4' ? app._router : app.router) as { stack: { handle: unknown }[] }
    expect(stack.slice(-2).map(({ handle }) => handle)).toEqual([middleware, middleware])
  })

  test('in a sub-app that is mounted only after the app listens, it registers then', async () => {
    const { middleware, warnings, keys, key } = aMiddleware()
    const [app, outer, inner] = [express(), express(), express()]
    const server = await listen(app)
    inner.use(middleware)
    outer.use(inner)
    expect(middleware.registration).toBeUndefined()
    app.use('/later', outer)
    await middleware.registration!.ready()
    expect(await keys()).toEqual([key(server)])
    expect(warnings).toEqual([])
  })

  test.each<[string, (app: Express, middleware: RequestHandler) => void]>([
    ['inside another middleware', (app, it) => app.use((...request) => it(...request))],
    [
      'behind a `use` that wraps what it is given',
      (app, it) => {
        const use = app.use.bind(app)
        app.use = ((given: RequestHandler) => use((...request) => given(...request))) as typeof app.use
        app.use(it)
      },
    ],
  ])('%s it registers with the first request, and warns once', async (_, hide) => {
    const { middleware, warnings, keys, key } = aMiddleware()
    const app = express()
    hide(app, middleware as never)
    const server = await listen(app)
    expect(middleware.registration).toBeUndefined()
    for (let time = 1; time <= 3; time += 1) {
      expect((await fetch(`http://127.0.0.1:${portOf(server)}/`)).status).toBe(404)
    }
    await middleware.registration!.ready()
    expect(await keys()).toEqual([key(server)])
    expect(warnings).toEqual([expect.stringMatching(/with the first request only.*pass it as "server"/)])
  })

  test('inside a middleware that nobody calls it warns, since it would never register, and says when it is over', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const { middleware, warnings } = aMiddleware()
    const app = express().use((...request) => middleware(...request))
    const server = await listen(app)
    expect(warnings).toEqual([])
    vi.advanceTimersByTime(2000)
    expect(warnings).toEqual([
      expect.stringMatching(
        `"orders" is not registered: a server listens on port ${portOf(server)}, .*pass it as "server", or call attach`,
      ),
    ])
    middleware.attach(server)
    expect(warnings.slice(1)).toEqual(['the server of "orders" was found'])
  })

  test('another server that listens before the app is no reason to warn', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const { middleware, warnings } = aMiddleware()
    const metrics = await listening(createServer(() => {}).listen(0, '127.0.0.1'))
    const server = await listen(express().use(middleware))
    expect(middleware.registration!.instance.port).not.toBe(portOf(metrics))
    await closed(server)
    vi.advanceTimersByTime(10_000)
    expect(warnings).toEqual([])
  })

  test('a server that was closed meanwhile, or one of no requests, is no reason to warn', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const { warnings } = aMiddleware()
    await closed(await listening(createServer(() => {}).listen(0, '127.0.0.1')))
    await listening(createServer().listen(0, '127.0.0.1'))
    vi.advanceTimersByTime(10_000)
    expect(warnings).toEqual([])
  })

  describe('a library that takes over the listeners of a server hides nothing', () => {
    test.each<[string, (app: Express, middleware: RequestListener) => Server]>([
      [
        'before the app has the middleware',
        (app, it) => {
          const server = takeOver(createServer(app))
          app.use(it)
          return server
        },
      ],
      ['after it, and twice', (app, it) => takeOver(takeOver(createServer(app.use(it))))],
      ['with the app added later', (app, it) => takeOver(createServer().on('request', app.use(it)))],
      [
        'before the app is mounted in another one',
        (app, it) => {
          const server = takeOver(createServer(app))
          app.use('/inner', express().use(it))
          return server
        },
      ],
      ['@godaddy/terminus', (app, it) => withTerminus(createServer(app.use(it)))],
    ])('%s', async (_, make) => {
      const { middleware, warnings, keys, key } = aMiddleware()
      await listening(takeOver(createServer(express())).listen(0, '127.0.0.1'))
      const server = make(express(), middleware as never)
      await listening(server.listen(0, '127.0.0.1'))
      await middleware.registration!.ready()
      expect(await keys()).toEqual([key(server)])
      expect((await fetch(`http://127.0.0.1:${portOf(server)}/`)).status).toBe(404)
      expect(warnings).toEqual([])
    })

    test('once it listens already, before the app has the middleware', async () => {
      const { middleware, warnings, keys, key } = aMiddleware()
      const app = express()
      const server = await listen(app)
      takeOver(server)
      app.use(middleware)
      await middleware.registration!.ready()
      expect(await keys()).toEqual([key(server)])
      expect(warnings).toEqual([])
    })
  })

  test.each<[string, (server: Server, app: Express) => void]>([
    ['at once', (server, app) => void server.on('request', app)],
    [
      'instead of another listener',
      (server, app) => void server.removeAllListeners('request').on('request', app),
    ],
    [
      'and a library takes over the server then',
      (server, app) => {
        server.on('request', app)
        takeOver(server)
      },
    ],
  ])('a server that listens before it gets the app is registered when it gets it: %s', async (_, give) => {
    const { middleware, warnings, keys, key } = aMiddleware()
    const app = express().use(middleware)
    const server = createServer(() => {})
    server.removeAllListeners('request')
    server.listen(0, '127.0.0.1')
    give(server, app)
    await listening(server)
    await middleware.registration!.ready()
    expect(await keys()).toEqual([key(server)])
    expect(warnings).toEqual([])
  })

  test('a server that listens and gets a hidden app later is warned of, too', async () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    onTestFinished(() => void vi.useRealTimers())
    const { middleware, warnings } = aMiddleware()
    const app = express().use(middleware)
    const server = await listening(createServer().listen(0, '127.0.0.1'))
    vi.advanceTimersByTime(5000)
    expect(warnings).toEqual([])
    server.on('request', (request, response) => app(request, response))
    vi.advanceTimersByTime(2000)
    expect(warnings).toEqual([expect.stringMatching(`a server listens on port ${portOf(server)}, `)])
  })

  test('an app whose server is handed its connections is not said to be registered', async () => {
    const { middleware, warnings, keys } = aMiddleware()
    const inner = createServer(express().use(middleware))
    const front = createNetServer(socket => void inner.emit('connection', socket))
    await listening(front.listen(0, '127.0.0.1') as Server)
    for (let time = 1; time <= 2; time += 1) {
      expect((await fetch(`http://127.0.0.1:${portOf(front as Server)}/`)).status).toBe(404)
    }
    expect(warnings).toEqual([
      expect.stringMatching(
        /^"orders" is not registered: its requests come over a server that does not listen.* For the one that listens, pass it as "server", or call attach/,
      ),
    ])
    middleware.attach(front as Server)
    await middleware.registration!.ready()
    expect(await keys()).toHaveLength(1)
    expect(warnings.slice(1)).toEqual(['the server of "orders" was found'])
  })

  test('it is ready while one of its servers serves', async () => {
    const { middleware } = aMiddleware()
    const app = express().use(middleware)
    const [first, last] = [await listen(app), await listen(app)]
    await closed(last)
    expect(middleware.state).toBe('serving')
    expect(middleware.ready).toBe(true)
    await closed(first)
    expect(middleware.ready).toBe(false)
  })

  test('a server that has the app inside a function is attached by hand, or given as "server"', async () => {
    const app = express()
    const server = await listening(
      createServer((request, response) => app(request, response)).listen(0, '127.0.0.1'),
    )
    const given = aMiddleware({ server })
    app.use(given.middleware)
    await given.middleware.registration!.ready()
    expect(await given.keys()).toEqual([given.key(server)])

    const attached = aMiddleware()
    app.use(attached.middleware)
    expect(attached.middleware.registration).toBeUndefined()
    await attached.middleware.attach(server).registration!.ready()
    expect(await attached.keys()).toEqual([attached.key(server)])
    expect([...given.warnings, ...attached.warnings]).toEqual([])
  })

  test('with enabled: false it only calls next', async () => {
    const { middleware } = aMiddleware({ enabled: false })
    const app = express()
    app.use(middleware)
    const server = await listen(app)
    expect((await fetch(`http://127.0.0.1:${portOf(server)}/`)).status).toBe(404)
    expect(middleware.registration).toBeUndefined()
    expect(middleware.registry.status().etcd.connection).toBe('idle')
  })

  test('uses the registry that it is given, and leaves it open', async () => {
    await using registry = createRegistry({
      hosts: etcd.endpoint,
      namespace: `/${name}-given`,
      logger: false,
    })
    const { middleware } = aMiddleware({ registry })
    const app = express()
    app.use(middleware)
    const server = await listen(app)
    await middleware.registration!.ready()
    expect(await registry.services()).toEqual(['orders'])
    await closed(server)
    await middleware.close()
    expect(await registry.services()).toEqual([])
  })

  test('refuses an option where it is called, not when the server listens', () => {
    const call = (options: EtcdRegisterOptions) => () => etcdRegister(options)
    expect(call({ name: 'a/b' })).toThrow(/Option "name" must be/)
    expect(call({ name: 'a', weight: 2000 })).toThrow(/Option "weight" must be/)
    expect(call({ name: 'a', ttl: 1 })).toThrow(/Option "ttl" must be/)
    expect(call({ name: 'a', drainDelay: -1 })).toThrow(/Option "drainDelay" must be/)
  })
})

test('the middleware is called with nothing but next, and does nothing else', () => {
  const middleware = etcdRegister({ name: 'orders', enabled: false, logger: false })
  let calls = 0
  const untouchable = new Proxy(
    {},
    { set: () => false, defineProperty: () => false, deleteProperty: () => false },
  )
  middleware(untouchable, untouchable, (...args: unknown[]) => {
    calls += 1
    expect(args).toEqual([])
  })
  expect(calls).toBe(1)
})
