import { once } from 'node:events'
import { mkdtempSync, rmSync } from 'node:fs'
import { Agent, createServer, get, type IncomingMessage } from 'node:http'
import { connect, createServer as createHttp2Server } from 'node:http2'
import { createServer as createHttpsServer } from 'node:https'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import {
  attachServer,
  createAdapterRuntime,
  createRegistry,
  type EtcdRegisterOptions,
  type Registry,
} from '@etcd-register/core'
import { createCertificateAuthority, type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest'
import { rows } from '../support/etcdctl-table.ts'
import {
  aNamespace,
  answer,
  aServer,
  attach,
  closed,
  closedWithTest,
  listen,
  ready,
} from '../support/server-side.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { aLink, aRegistry, orders, registered } from '../support/write-side.ts'

forbidUnhandled()

const cleanup = { onTestFinished }
let etcd: EtcdMember

beforeAll(async () => {
  etcd = await startEtcdBinary()
})

afterAll(() => etcd?.stop())

describe('a server is registered', () => {
  test('once it listens, not before, under the port that it really got', async () => {
    const { registry, keys } = aNamespace(etcd)
    const server = aServer()
    const attached = attach(server, registry)
    expect(attached.registration).toBeUndefined()
    expect(registry.status().registrations).toEqual([])
    const port = await listen(server)
    await ready(attached)
    expect(attached.registration!.instance).toMatchObject({ port, endpoints: [`http://127.0.0.1:${port}`] })
    expect(registry.status().registrations).toMatchObject([{ state: 'registered', address: 'bound' }])
    expect(await keys()).toEqual([`orders/127.0.0.1:${port}`])
  })

  test('at once if it listens already', async () => {
    const { registry, keys } = aNamespace(etcd)
    const server = aServer()
    const port = await listen(server)
    await ready(attach(server, registry))
    expect(await keys()).toEqual([`orders/127.0.0.1:${port}`])
  })

  test('with the port, the host and the scheme of the options where they are given', async () => {
    const { registry } = aNamespace(etcd)
    const server = aServer()
    await listen(server)
    const more = { port: 443, host: 'orders.example.org', protocol: 'https', weight: 7, id: 'a' }
    const { instance } = attach(server, registry, more).registration!
    expect(instance).toMatchObject({ ...more, endpoints: ['https://orders.example.org:443'] })
  })

  test('as if an option were not given where it is undefined', async () => {
    const { registry } = aNamespace(etcd)
    const server = aServer()
    const port = await listen(server)
    const more: object = { port: undefined, protocol: undefined, host: undefined, drainDelay: 0 }
    expect(attach(server, registry, more).registration!.instance).toMatchObject({ port, protocol: 'http' })
  })

  test('several of them in one registry, each with its scheme and its lease', async () => {
    const { registry, namespace } = aNamespace(etcd)
    const pair = await (await createCertificateAuthority()).issue()
    const servers = [aServer(), closedWithTest(createHttpsServer(pair)), closedWithTest(createHttp2Server())]
    const attached = servers.map((server, i) => attach(server, registry, { name: `server-${i}` }))
    await Promise.all(servers.map(server => listen(server)))
    await Promise.all(attached.map(ready))
    const schemes = attached.map(({ registration }) => registration!.instance.endpoints[0]!.split(':')[0])
    expect(schemes).toEqual(['http', 'https', 'http'])
    const leases = new Set((await rows(etcd, `${namespace}/`)).map(({ lease }) => lease))
    expect(leases.size).toBe(3)
  })

  test('in a format of gRPC without a warning of its scheme, unless that was given or there is TLS', async () => {
    const registry = aRegistry(cleanup, etcd, { format: 'grpc', namespace: '/schemes' })
    const pair = await (await createCertificateAuthority()).issue()
    const tls = closedWithTest(createHttpsServer(pair))
    const servers = { plain: aServer(), given: aServer(), tls, grpc: aServer() }
    for (const [name, server] of Object.entries(servers)) {
      await listen(server)
      const protocol = { plain: undefined, given: 'http', tls: undefined, grpc: 'grpc' }[name]
      await ready(attach(server, registry, { name, ...(protocol !== undefined && { protocol }) }))
    }
    expect(registry.warnings).toEqual([
      'format "grpc" cannot carry protocol (read as grpc): readers of "given" there will not see it',
      'format "grpc" cannot carry protocol (read as grpc): readers of "tls" there will not see it',
    ])
  })

  test('again when it listens again, under the new port', async () => {
    const { registry, keys } = aNamespace(etcd)
    const server = aServer()
    const attached = attach(server, registry)
    await listen(server)
    await ready(attached)
    const first = attached.registration
    await closed(server)
    expect(await keys()).toEqual([])
    const port = await listen(server)
    expect(attached.registration).not.toBe(first)
    await ready(attached)
    expect(await keys()).toEqual([`orders/127.0.0.1:${port}`])
    await closed(server)
    expect(await keys()).toEqual([])
  })
})

describe('a server is not registered', () => {
  test('on a unix socket, which is warned of, and so is its end', async () => {
    const { registry } = aNamespace(etcd)
    const folder = mkdtempSync(join(tmpdir(), 'socket-'))
    onTestFinished(() => rmSync(folder, { recursive: true }))
    const server = aServer()
    const attached = attach(server, registry)
    server.listen(join(folder, 's'))
    await once(server, 'listening')
    expect(attached.registration).toBeUndefined()
    expect(registry.warnings).toEqual([expect.stringMatching(/unix socket .* cannot be registered/)])
    await closed(server)
    await listen(server)
    expect(registry.warnings.slice(1)).toEqual(['a server listens now that can be registered as "orders"'])
    await ready(attached)
    await closed(server)
  })

  test('when its port is taken', async () => {
    const { registry, keys } = aNamespace(etcd)
    const [first, second] = [aServer(), aServer()]
    const port = await listen(first)
    const attached = attach(second, registry)
    second.listen(port, '127.0.0.1')
    const [error] = await once(second, 'error')
    expect(error).toMatchObject({ code: 'EADDRINUSE' })
    expect(attached.registration).toBeUndefined()
    expect(await keys()).toEqual([])
    // A free port later is another matter.
    await listen(second)
    await ready(attached)
  })

  test('once it was let go of, though it serves on; then nothing of ours is left on it', async () => {
    const { registry, keys } = aNamespace(etcd)
    const server = aServer()
    const { close } = server
    const before = process.listenerCount('SIGTERM')
    const attached = attach(server, registry, { signals: true })
    expect(process.listenerCount('SIGTERM')).toBe(before + 1)
    const port = await listen(server)
    await ready(attached)
    await attached.close()
    expect(await keys()).toEqual([])
    expect(process.listenerCount('SIGTERM')).toBe(before)
    expect(server.close).toBe(close)
    expect((await answer(port)).text).toBe('ok')
    await closed(server)
    await listen(server)
    expect(registry.status().registrations).toEqual([])
  })

  test('of a registry that is closed, which is logged and harms nobody', async () => {
    const { registry } = aNamespace(etcd)
    const server = aServer()
    attach(server, registry)
    await registry.close()
    const port = await listen(server)
    expect((await answer(port)).text).toBe('ok')
    expect(registry.warnings).toEqual(['a server listens that cannot be registered'])
  })

  test('that listens already, of a registry that is closed: logged, and harms nobody', async () => {
    const { registry } = aNamespace(etcd)
    const server = aServer()
    const port = await listen(server)
    await registry.close()
    attach(server, registry)
    expect((await answer(port)).text).toBe('ok')
    expect(registry.warnings).toEqual(['a server listens that cannot be registered'])
  })
})

test.each([
  [{ name: 'a/b' }, 'name'],
  [{ weight: -1 }, 'weight'],
  [{ metadata: Object.fromEntries([...'abcde'].map(name => [name, 'x'.repeat(16_000)])) }, 'metadata'],
  [{ ports: [80] } as object, 'ports'],
  [{ port: 70_000 }, 'port'],
  [{ drainDelay: -1 }, 'drainDelay'],
  [{ drainDelay: 0.5 }, 'drainDelay'],
  [{ shutdownTimeout: '1s' as never }, 'shutdownTimeout'],
])('the option %o is refused before the server listens', (options, option) => {
  const registry = createRegistry({ logger: false })
  const server = createServer()
  const before = server.listenerCount('listening')
  const refused = new RegExp(`^(Unknown option "${option}"|Option "${option}" must be)`)
  expect(() => attachServer(server, registry, { name: 'orders', ...options })).toThrow(refused)
  expect(() => createAdapterRuntime({ name: 'orders', ...options })).toThrow(refused)
  expect(server.listenerCount('listening')).toBe(before)
})

describe('a server that is closed', () => {
  test('deregisters first, answers what is in flight, and ends though connections are kept alive', async () => {
    const { registry, keys } = aNamespace(etcd)
    let finish = () => {}
    const server = aServer((request, response) => {
      if (request.url === '/') response.end('ok')
      else finish = () => response.end('late')
    })
    server.keepAliveTimeout = 600_000 // longer than the test may take
    const attached = attach(server, registry)
    const port = await listen(server)
    await ready(attached)
    const agent = new Agent({ keepAlive: true, maxSockets: 2 })
    onTestFinished(() => agent.destroy())
    await answer(port, agent)
    const request = get({ port, host: '127.0.0.1', path: '/slow', agent })
    await once(server, 'request')
    const over = once(server, 'close')
    const order: string[] = []
    attached.registration!.on('closed', () => order.push('left'))
    server.on('close', () => order.push('closed'))
    server.close()
    await until(async () => (await keys()).length === 0)
    expect(server.listening || order.includes('left')).toBe(true)
    finish()
    const [response] = (await once(request, 'response')) as [IncomingMessage]
    response.resume()
    await once(response, 'end')
    await over
    expect(order).toEqual(['left', 'closed'])
  })

  test('serves on for drainDelay, and tells clients to go elsewhere', async () => {
    const { registry, keys } = aNamespace(etcd)
    const server = aServer()
    const attached = attach(server, registry, { drainDelay: 2000 })
    const port = await listen(server)
    await ready(attached)
    expect((await answer(port)).headers.connection).not.toBe('close')
    const over = once(server, 'close')
    const begun = performance.now()
    server.close()
    await until(() => attached.state === 'draining')
    const response = await answer(port)
    expect(response).toMatchObject({ statusCode: 200, text: 'ok', headers: { connection: 'close' } })
    expect(await keys()).toEqual([])
    await over
    expect(performance.now() - begun).toBeGreaterThan(1990)
  })

  test('over HTTP/2 too, without a header that HTTP/2 does not know', async () => {
    const { registry, keys } = aNamespace(etcd)
    const server = closedWithTest(createHttp2Server((_, response) => response.end('ok')))
    const attached = attach(server, registry, { drainDelay: 2000 })
    const port = await listen(server)
    await ready(attached)
    const client = connect(`http://127.0.0.1:${port}`)
    onTestFinished(() => client.destroy())
    const over = once(server, 'close')
    server.close()
    await until(() => attached.state === 'draining')
    const stream = client.request({ ':path': '/' })
    const [headers] = await once(stream, 'response')
    expect(headers[':status']).toBe(200)
    stream.resume()
    await once(stream, 'end')
    expect(await keys()).toEqual([])
    client.close()
    await over
  })

  test('before etcd ever answered does not drain, since nobody knows of it', async () => {
    const registry = aRegistry(cleanup, { endpoint: 'http://127.0.0.1:1' }, { logger: false })
    const server = aServer()
    attach(server, registry, { drainDelay: 60_000 })
    await listen(server)
    await closed(server)
  })

  test('while etcd has its key and it does not know that yet: it drains, since clients can know of it', async () => {
    const link = await aLink(cleanup, etcd)
    const registry = aRegistry(cleanup, link, { namespace: '/unanswered', requestTimeout: 30_000 })
    const server = aServer()
    const attached = attach(server, registry, { drainDelay: 500 })
    await registered(registry, orders({ name: 'other' }))
    // Its key is written once its lease is there, so what is held up is only the answer to that.
    link.delay(3000)
    const port = await listen(server)
    await until(async () => (await rows(etcd, '/unanswered/')).some(({ key }) => key.endsWith(`:${port}`)))
    link.freeze('down')
    expect(attached.registration?.state).toBe('registering')
    const over = closed(server)
    await until(() => attached.state === 'leaving')
    await link.restore()
    await until(() => attached.state === 'draining')
    expect(server.listening).toBe(true)
    await over
  })

  test('that does not listen gives the error that Node gives', async () => {
    const { registry } = aNamespace(etcd)
    const server = aServer()
    attach(server, registry)
    const error = await new Promise(resolve => server.close(resolve))
    expect(error).toMatchObject({ code: 'ERR_SERVER_NOT_RUNNING' })
  })
})

describe('a server with a registry of another kind closes', () => {
  const double = (registration: unknown, warnings: string[]) =>
    ({
      logger: {
        debug() {},
        info() {},
        warn: (_: object, message: string) => warnings.push(message),
        error() {},
      },
      register: () => registration,
    }) as unknown as Registry

  test.each<[string, unknown, string[]]>([
    [
      'whose deregister() rejects',
      { state: 'registered', deregister: () => Promise.reject(new Error('no')) },
      ['"orders" could not be deregistered'],
    ],
    [
      'whose deregister() throws',
      {
        state: 'registered',
        deregister() {
          throw new Error('no')
        },
      },
      ['"orders" could not be deregistered'],
    ],
    [
      'whose deregister() never ends',
      { state: 'registered', deregister: () => new Promise(() => {}) },
      ['"orders" was not deregistered within 200 ms'],
    ],
    ['that knows no states', { deregister: async () => {} }, []],
    ['that gives no registration', undefined, []],
  ])('%s', async (_, registration, expected) => {
    const warnings: string[] = []
    const server = aServer()
    const attached = attach(server, double(registration, warnings), { shutdownTimeout: 200 })
    await listen(server)
    await closed(server)
    await attached.close()
    expect(warnings).toEqual(expected)
  })

  test.each<[string, unknown]>([
    ['nothing of keys', () => ({})],
    ['nothing', () => undefined],
    ['no function', 'up'],
  ])('whose status is %s, and deregisters and drains it', async (_, status) => {
    let deregistered = 0
    const deregister = async () => {
      deregistered += 1
    }
    const server = aServer()
    const attached = attach(server, double({ state: 'registering', status, deregister }, []), {
      drainDelay: 2000,
    })
    await listen(server)
    const over = closed(server)
    await until(() => attached.state === 'draining')
    expect(deregistered).toBe(1)
    await over
  })
})

describe('what adapters share', () => {
  let count = 0

  function aHost(options: EtcdRegisterOptions = {}) {
    count += 1
    const namespace = `/host-${count}`
    const own = options.registry === undefined && {
      hosts: etcd.endpoint,
      namespace,
      ttl: 60,
      logger: false as const,
    }
    const host = createAdapterRuntime({ name: 'orders', drainDelay: 0, signals: false, ...own, ...options })
    onTestFinished(() => host.close())
    const keys = async () =>
      (await rows(etcd, `${namespace}/`)).map(({ key }) => key.slice(namespace.length + 1))
    return { host, keys }
  }

  test('the server of the options is registered, each time that it listens, and its registry ends with it', async () => {
    const server = aServer()
    const { host, keys } = aHost({ server })
    expect(host.registration).toBeUndefined()
    await listen(server)
    await host.registration!.ready()
    const { registry } = host
    await closed(server)
    await until(() => registry.status().etcd.connection === 'closed')
    expect(await keys()).toEqual([])
    const port = await listen(server)
    await host.registration!.ready()
    expect(await keys()).toEqual([`orders/127.0.0.1:${port}`])
  })

  test('null for a registry is none', () => {
    const { host } = aHost({ registry: null as never, hosts: etcd.endpoint, logger: false })
    expect(host.registry.status().registrations).toEqual([])
  })

  test('a registry of the caller stays open', async () => {
    const { registry } = aNamespace(etcd)
    const server = aServer()
    const { host } = aHost({ server, registry })
    expect(host.registry).toBe(registry)
    await listen(server)
    await host.registration!.ready()
    await closed(server)
    await host.close()
    expect(registry.status()).toMatchObject({ etcd: { connection: 'up' }, registrations: [] })
    expect(await registry.services()).toEqual([])
  })

  test('enabled: false registers nothing, and needs no name', async () => {
    const server = aServer()
    const { host } = aHost({ server, enabled: false, name: undefined as never })
    await listen(server)
    expect(host.registration).toBeUndefined()
    expect(host.attach(server).registration).toBeUndefined()
    host.attachFrom({ socket: { server } })
    expect(host.registration).toBeUndefined()
    expect(host.registry.status()).toMatchObject({ etcd: { connection: 'idle' }, registrations: [] })
  })

  test('enabled: false: the registry ends with the server, and its discoveries with it', async () => {
    const server = aServer()
    const { host } = aHost({ server, enabled: false })
    const { registry } = host
    const discovery = registry.discover('orders')
    await listen(server)
    await discovery.ready()
    expect(registry.status().etcd.connection).toBe('up')
    await closed(server)
    await until(() => registry.status().etcd.connection === 'closed')
    await listen(server)
    await host.registry.discover('orders').ready()
  })

  test('enabled: false: it lasts while one server after the other listens, as with supertest', async () => {
    const { host } = aHost({ enabled: false })
    const { registry } = host
    const discovery = registry.discover('orders')
    for (let requests = 0; requests < 30; requests += 1) {
      const server = aServer((request, response) => {
        host.attachFrom(request)
        response.end('ok')
      })
      await answer(await listen(server))
      await closed(server)
      await pause(50)
    }
    expect(host.registry).toBe(registry)
    await discovery.ready()
    expect(registry.status().etcd.connection).toBe('up')
  })

  describe('ready, for a readiness check', () => {
    test.each([true, false])(
      'with enabled: %s it is false from the moment that the server leaves',
      async enabled => {
        const server = aServer()
        const { host } = aHost({ server, enabled })
        await listen(server)
        expect(host.ready).toBe(true)
        const over = closed(server)
        expect(host.ready).toBe(false)
        await over
        expect(host.ready).toBe(false)
        await listen(server)
        expect(host.ready).toBe(true)
        const left = host.leave()
        expect(host.ready).toBe(false)
        await left
        expect(host.ready).toBe(false)
      },
    )

    test.each([true, false])('with enabled: %s it is false once it was let go of', async enabled => {
      const server = aServer()
      const { host } = aHost({ server, enabled })
      await listen(server)
      await host.close()
      expect(host.ready).toBe(false)
      expect(host.attach(server).ready).toBe(true)
    })

    test('without a server that was found, or beside one that never listens, it is true', async () => {
      const { host } = aHost()
      expect(host.ready).toBe(true)
      const server = aServer()
      await listen(server)
      host.attach(server)
      host.attach(aServer())
      expect(host.ready).toBe(true)
      await closed(server)
      expect(host.ready).toBe(false)
    })

    test('while etcd is away, and where the server cannot be registered, it is true', async () => {
      const away = aServer()
      const { host } = aHost({ server: away, hosts: 'http://127.0.0.1:1' })
      await listen(away)
      expect(host.ready).toBe(true)
      const unnamed = aServer()
      const { registry } = aNamespace(etcd)
      await registry.close()
      const attached = attach(unnamed, registry)
      await listen(unnamed)
      expect(attached).toMatchObject({ state: 'off', ready: true })
    })
  })

  test('after close() no request brings the server back', async () => {
    const server = aServer()
    const { host, keys } = aHost()
    await listen(server)
    host.attachFrom({ socket: { server } })
    await host.registration!.ready()
    await host.close()
    host.attachFrom({ socket: { server } })
    expect(await keys()).toEqual([])
    await closed(server)
    await listen(server)
    expect(await keys()).toEqual([])
  })
})

test.each<[string, unknown, RegExp]>([
  ['an option that nobody knows', { naem: 'x' }, /^Unknown option "naem"; did you mean "name"\?$/],
  [
    'the addresses of etcd under the name of etcdctl',
    { endpoints: ['http://etcd:2379'] },
    /^Unknown option "endpoints"\. The addresses of etcd are "hosts"; .* "advertise"\.$/,
  ],
  ['a name instead of options', 'orders', /^Option "options" must be an object; got "string"/],
  ['null', null, /^Option "options" must be an object; got null/],
  ['text for a switch', { signals: 'no' }, /^Option "signals" must be true or false; got "no"/],
  ['text for another', { enabled: 'no' }, /^Option "enabled" must be true or false; got "no"/],
  [
    'an option of a registry beside one',
    { registry: createRegistry({ logger: false }), ttl: 5 },
    /^Option "ttl" has no effect beside "registry": give it to createRegistry\(\)\.$/,
  ],
  [
    'a logger beside a registry, which has one',
    { registry: createRegistry({ logger: false }), logger: false },
    /^Option "logger" has no effect beside "registry"/,
  ],
  ['what is no registry', { registry: {} }, /^Option "registry" must be a registry/],
  [
    'a drainDelay beyond all measure',
    { drainDelay: 600_000 },
    /^Option "drainDelay" must be .* from 0 to 300000; got 600000/,
  ],
])('%s is refused, and the message says what to write', (_, options, message) => {
  expect(() => createAdapterRuntime(options as EtcdRegisterOptions)).toThrow(message)
})

test('what is no server is refused', () => {
  const registry = createRegistry({ logger: false })
  expect(() => attachServer((() => {}) as never, registry, { name: 'orders' })).toThrow(/"server" must be/)
})
