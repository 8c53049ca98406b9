import 'reflect-metadata'
import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import { EtcdModule, type EtcdModuleOptions } from '@etcd-register/nestjs'
import { createCertificateAuthority } from '@etcd-register/testing'
import { Injectable, Module, type OnApplicationShutdown } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { ExpressAdapter } from '@nestjs/platform-express'
import { keysOf, takeOver, watchService } from 'adapter-contract'
import { expect, onTestFinished, test, vi } from 'vitest'
import { useEtcd } from './support/etcd.ts'

const etcd = useEtcd()

/** As Nest's documentation has it, so that `app.close()` closes servers that the app made itself. */
@Injectable()
class ShutdownObserver implements OnApplicationShutdown {
  readonly servers: Server[] = []

  async onApplicationShutdown() {
    const close = (server: Server) =>
      new Promise<void>((resolve, reject) => server.close(error => (error ? reject(error) : resolve())))
    await Promise.all(this.servers.splice(0).map(close))
  }
}

/** Initialized, not listening; `instance` is the app that servers are made with. */
async function anApp(options: EtcdModuleOptions) {
  @Module({ imports: [EtcdModule.forRoot(options)], providers: [ShutdownObserver] })
  class AppModule {}
  const adapter = new ExpressAdapter()
  const instance: RequestListener = adapter.getInstance()
  const app = await NestFactory.create(AppModule, adapter, { logger: false, abortOnError: false })
  onTestFinished(() => app.close())
  await app.init()
  return { app, instance, observer: app.get(ShutdownObserver) }
}

async function listen<S extends Server>(server: S): Promise<number> {
  onTestFinished(() => void server.close())
  await once(server.listen(0, '127.0.0.1'), 'listening')
  return (server.address() as AddressInfo).port
}

test('servers that the app makes itself are registered, each with its port and scheme, and leave with app.close()', async () => {
  const options = etcd.options('several')
  const view = await watchService(etcd.member(), options.name)
  const { app, instance, observer } = await anApp(options)
  const { cert, key } = await (await createCertificateAuthority()).issue()
  const http = takeOver(createServer(instance))
  const https = createHttpsServer({ cert, key }, instance)
  observer.servers.push(http, https)
  await listen(createServer((_, response) => void response.end()))
  const ports = { [await listen(http)]: 'http', [await listen(https)]: 'https' }
  const seen = () => Object.fromEntries(view.instances.map(({ port, protocol }) => [port, protocol]))
  await expect.poll(seen).toEqual(ports)
  await app.close()
  expect(await keysOf(etcd.member(), options.name)).toEqual([])
  expect([http.listening, https.listening]).toEqual([false, false])
})

test('each leaves with its own close, and the others stay', async () => {
  const options = etcd.options('several-closed')
  const view = await watchService(etcd.member(), options.name)
  const { app, instance } = await anApp(options)
  await app.listen(0, '127.0.0.1')
  const [first, second] = [createServer(instance), createServer(instance)]
  const { port } = app.getHttpServer().address()
  const [one, two] = [await listen(first), await listen(second)]
  await view.toHavePorts(port, one, two)
  first.close()
  await view.toHavePorts(port, two)
  await app.close()
  expect(await keysOf(etcd.member(), options.name)).toEqual([])
})

test('where a server hides the app from view, it warns within 2 s and says what to do', async () => {
  const warnings: string[] = []
  const warn = (_: object, message: string) => warnings.push(message)
  const logger = { debug() {}, info() {}, warn, error: warn }
  const { app, instance } = await anApp({ ...etcd.options('hidden'), logger })
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  onTestFinished(() => void vi.useRealTimers())
  const port = await listen(createServer((request, response) => void instance(request, response)))
  vi.advanceTimersByTime(2000)
  expect(warnings).toEqual([
    `"hidden" is not registered: a server listens on port ${port}, and nothing shows that it is the app's. If it is, pass it as "server" to EtcdModule.forRoot().`,
  ])
  await app.listen(0, '127.0.0.1')
  expect(warnings.slice(1)).toEqual(['the server of "hidden" was found'])
})
