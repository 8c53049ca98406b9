import 'reflect-metadata'
import { type Discovery, EtcdHealthIndicator, EtcdModule, getDiscoveryToken } from '@etcd-register/nestjs'
import { startFaultProxy } from '@etcd-register/testing'
import { Controller, Get, Inject, Module, type ModuleMetadata } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { HealthCheckService, TerminusModule } from '@nestjs/terminus'
import { expect, onTestFinished, test } from 'vitest'
import { useEtcd } from './support/etcd.ts'

const etcd = useEtcd()

@Controller()
class HealthController {
  constructor(
    @Inject(HealthCheckService) readonly health: HealthCheckService,
    @Inject(EtcdHealthIndicator) readonly etcd: EtcdHealthIndicator,
  ) {}

  @Get('health')
  check() {
    return this.health.check([() => this.etcd.isHealthy()])
  }

  @Get('ready')
  ready() {
    return this.health.check([() => this.etcd.isReady()])
  }
}

type Imports = NonNullable<ModuleMetadata['imports']>

/** An app that listens, closed with the test. */
async function listening(...imports: Imports) {
  @Module({
    imports: [TerminusModule.forRoot({ logger: false }), ...imports],
    controllers: [HealthController],
  })
  class AppModule {}
  const app = await NestFactory.create(AppModule, { logger: false, abortOnError: false })
  onTestFinished(() => app.close())
  await app.listen(0, '127.0.0.1')
  const { port } = app.getHttpServer().address()
  const get = (path: string) => fetch(`http://127.0.0.1:${port}/${path}`)
  return { app, port, get }
}

test('with enabled: false the app is ready', async () => {
  const { get } = await listening(EtcdModule.forRoot({ enabled: false, logger: false }))
  expect((await get('ready')).status).toBe(200)
})

test('terminus says that etcd is away and back, and that the app is ready until it leaves', async () => {
  const proxy = await startFaultProxy(etcd.member())
  onTestFinished(() => proxy.stop())
  const { app, port, get } = await listening(
    EtcdModule.forRoot({ ...etcd.options('healthy'), hosts: proxy.endpoint, drainDelay: 2000 }),
    EtcdModule.forFeature(['inventory']),
  )
  const ready = async () => (await get('ready')).status
  const health = async () => {
    const answer = await get('health')
    const { status, details } = (await answer.json()) as { status: string; details: object }
    return { code: answer.status, status, details }
  }
  await app.get<Discovery>(getDiscoveryToken('inventory')).ready()
  const registrations = { [`127.0.0.1:${port}`]: 'registered' }
  const up = { status: 'up', connection: 'up', registrations, stale: [] }
  await expect.poll(health).toEqual({ code: 200, status: 'ok', details: { etcd: up } })

  proxy.cut()
  const message = 'etcd cannot be reached; what is known of inventory may be out of date'
  const down = { status: 'down', message, connection: 'down' }
  await expect.poll(health).toMatchObject({ code: 503, status: 'error', details: { etcd: down } })

  const whileAway = await get('ready')
  expect(whileAway.status).toBe(200)
  expect(await whileAway.json()).toMatchObject({
    details: {
      etcd: {
        status: 'up',
        message: 'etcd cannot be reached; the app serves without it',
        connection: 'down',
      },
    },
  })
  await proxy.restore()
  await expect.poll(health).toEqual({ code: 200, status: 'ok', details: { etcd: up } })

  const closed = app.close()
  expect(await ready()).toBe(503)
  await closed
})

test('an app that cannot be registered is ready, and not healthy', async () => {
  process.env.SERVICE_HOST = '0.0.0.0'
  onTestFinished(() => {
    delete process.env.SERVICE_HOST
  })
  const { get } = await listening(EtcdModule.forRoot(etcd.options('unaddressed')))
  await expect.poll(async () => (await get('health')).status).toBe(503)
  const { details } = (await (await get('health')).json()) as { details: { etcd: { message: string } } }
  expect(details.etcd.message).toMatch(/^unaddressed 127\.0\.0\.1:\d+ is registering: .*SERVICE_HOST/)
  expect((await get('ready')).status).toBe(200)
})
