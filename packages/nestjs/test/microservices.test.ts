import 'reflect-metadata'
import { fileURLToPath } from 'node:url'
import {
  type CurrentRegistration,
  type Discovery,
  ETCD_REGISTRATION,
  EtcdModule,
  type EtcdModuleOptions,
  getDiscoveryToken,
} from '@etcd-register/nestjs'
import { Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { Transport } from '@nestjs/microservices'
import { keysOf, watchService } from 'adapter-contract'
import { expect, onTestFinished, test } from 'vitest'
import { freePort } from '../../testing/src/free-port.ts'
import { useEtcd } from './support/etcd.ts'

const etcd = useEtcd()

const quiet = { logger: false, abortOnError: false } as const

function moduleWith(options: EtcdModuleOptions): new () => object {
  @Module({ imports: [EtcdModule.forRoot(options), EtcdModule.forFeature(['inventory'])] })
  class AppModule {}
  return AppModule
}

const tcp = (port: number) => ({ transport: Transport.TCP, options: { host: '127.0.0.1', port } }) as const

test('of a hybrid app the HTTP server is registered, not the microservice', async () => {
  const options = etcd.options('hybrid')
  const view = await watchService(etcd.member(), options.name)
  const app = await NestFactory.create(moduleWith(options), quiet)
  onTestFinished(() => app.close())
  app.connectMicroservice(tcp(await freePort()))
  await app.startAllMicroservices()
  await app.listen(0, '127.0.0.1')
  await view.toHavePorts(app.getHttpServer().address().port)
  await app.close()
  expect(await keysOf(etcd.member(), options.name)).toEqual([])
})

test('an application context discovers, and registers nothing', async () => {
  const options = etcd.options('context')
  const app = await NestFactory.createApplicationContext(moduleWith(options), quiet)
  onTestFinished(() => app.close())
  const discovery = app.get<Discovery>(getDiscoveryToken('inventory'))
  await discovery.ready()
  expect(app.get<CurrentRegistration>(ETCD_REGISTRATION).current).toBeUndefined()
})

test('a pure microservice without a port discovers, and registers nothing', async () => {
  const options = etcd.options('no-port')
  const app = await NestFactory.createMicroservice(moduleWith(options), {
    ...quiet,
    ...tcp(await freePort()),
  })
  onTestFinished(() => app.close())
  await app.listen()
  await app.get<Discovery>(getDiscoveryToken('inventory')).ready()
  expect(app.get<CurrentRegistration>(ETCD_REGISTRATION).current).toBeUndefined()
})

test('a pure microservice with a port is registered once it listens there, and leaves when it closes', async () => {
  const port = await freePort()
  const options = { ...etcd.options('with-port'), port, protocol: 'tcp' }
  const view = await watchService(etcd.member(), options.name)
  const app = await NestFactory.createMicroservice(moduleWith(options), { ...quiet, ...tcp(port) })
  onTestFinished(() => app.close())
  await app.init()
  expect(app.get<CurrentRegistration>(ETCD_REGISTRATION).current).toBeUndefined()
  await app.listen()
  await view.toHavePorts(port)
  expect(view.instances[0]!.endpoints).toEqual([`tcp://127.0.0.1:${port}`])
  await app.close()
  expect(await keysOf(etcd.member(), options.name)).toEqual([])
})

test('a microservice of gRPC too', async () => {
  const port = await freePort()
  const options = { ...etcd.options('with-grpc'), port, protocol: 'grpc' }
  const view = await watchService(etcd.member(), options.name)
  const protoPath = fileURLToPath(new URL('./fixtures/hello.proto', import.meta.url))
  const app = await NestFactory.createMicroservice(moduleWith(options), {
    ...quiet,
    transport: Transport.GRPC,
    options: { url: `127.0.0.1:${port}`, package: 'hello', protoPath },
  })
  onTestFinished(() => app.close())
  await app.listen()
  await view.toHavePorts(port)
  expect(view.instances[0]!.endpoints).toEqual([`grpc://127.0.0.1:${port}`])
  await app.close()
  expect(await keysOf(etcd.member(), options.name)).toEqual([])
})
