import 'reflect-metadata'
import {
  type CurrentRegistration,
  createRegistry,
  type Discovery,
  EtcdModule,
  type EtcdModuleOptions,
  type EtcdOptionsFactory,
  getDiscoveryToken,
  InjectDiscovery,
  InjectRegistration,
  InjectRegistry,
  type Registry,
} from '@etcd-register/nestjs'
import { type DynamicModule, Inject, Injectable, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { keysOf, watchService } from 'adapter-contract'
import { expect, onTestFinished, test } from 'vitest'
import { useEtcd } from './support/etcd.ts'

const etcd = useEtcd()
const OPTIONS = 'OPTIONS'

@Injectable()
class Orders {
  constructor(
    @InjectRegistry() readonly registry: Registry,
    @InjectRegistration() readonly registration: CurrentRegistration,
    @InjectDiscovery('inventory') readonly inventory: Discovery,
    @InjectDiscovery('payments') readonly payments: Discovery,
  ) {}
}

/** It imports what it discovers, and nothing else: the rest is global. */
@Module({
  imports: [EtcdModule.forFeature(['inventory', { name: 'payments', balancer: 'random' }])],
  providers: [Orders],
})
class OrdersModule {}

/** With `Orders` in it; closed with the test. */
async function start(etcdModule: DynamicModule) {
  @Module({ imports: [OrdersModule, etcdModule] })
  class AppModule {}
  const app = await NestFactory.create(AppModule, { logger: false, abortOnError: false })
  onTestFinished(() => app.close())
  await app.listen(0, '127.0.0.1')
  return { app, orders: app.get(Orders, { strict: false }) }
}

/** What `useClass` and `useExisting` make the options with. */
@Injectable()
class OptionsFactory implements EtcdOptionsFactory {
  constructor(@Inject(OPTIONS) readonly options: EtcdModuleOptions) {}

  createEtcdOptions(): Promise<EtcdModuleOptions> {
    return Promise.resolve(this.options)
  }
}

function configModule(options: EtcdModuleOptions): DynamicModule {
  class ConfigModule {}
  const providers = [{ provide: OPTIONS, useValue: options }, OptionsFactory]
  return { module: ConfigModule, providers, exports: [OPTIONS, OptionsFactory] }
}

test.each<[string, (options: EtcdModuleOptions) => DynamicModule]>([
  ['forRoot', options => EtcdModule.forRoot(options)],
  [
    'forRootAsync with useFactory',
    options =>
      EtcdModule.forRootAsync({
        imports: [configModule(options)],
        inject: [OPTIONS],
        useFactory: async (injected: EtcdModuleOptions) => injected,
      }),
  ],
  [
    'forRootAsync with useClass',
    options => EtcdModule.forRootAsync({ imports: [configModule(options)], useClass: OptionsFactory }),
  ],
  [
    'forRootAsync with useExisting',
    options => EtcdModule.forRootAsync({ imports: [configModule(options)], useExisting: OptionsFactory }),
  ],
])('%s: providers of any module have registry, registration and discoveries', async (how, etcdModule) => {
  const options = etcd.options(how.replaceAll(' ', '-'))
  const { app, orders } = await start(etcdModule(options))
  const { port } = app.getHttpServer().address()
  await orders.registration.current!.ready()
  expect(orders.registration.current!.instance).toMatchObject({ name: options.name, port })
  expect(await orders.registry.services()).toContain(options.name)
  await orders.inventory.ready()
  expect([orders.inventory.name, orders.payments.name]).toEqual(['inventory', 'payments'])
})

test('a discovery finds another app', async () => {
  const { orders } = await start(EtcdModule.forRoot(etcd.options('orders')))
  const inventory = await start(EtcdModule.forRoot(etcd.options('inventory')))
  const { port } = inventory.app.getHttpServer().address()
  await expect.poll(() => orders.inventory.pick()?.port).toBe(port)
})

test('a discovery can be replaced in a test of the app', async () => {
  @Module({
    providers: [{ provide: getDiscoveryToken('inventory'), useValue: { pick: () => undefined } }],
    exports: [getDiscoveryToken('inventory')],
  })
  class FakeInventory {}
  @Module({ imports: [FakeInventory, EtcdModule.forRoot({ enabled: false })] })
  class AppModule {}
  const app = await NestFactory.createApplicationContext(AppModule, { logger: false })
  onTestFinished(() => app.close())
  expect(app.get<Discovery>(getDiscoveryToken('inventory')).pick()).toBeUndefined()
})

test('with isGlobal: false only the importing module sees it', async () => {
  @Injectable()
  class Outsider {
    constructor(@InjectRegistry() readonly registry: Registry) {}
  }
  @Module({ providers: [Outsider] })
  class Elsewhere {}
  const isGlobal = { ...etcd.options('not-global'), isGlobal: false }
  @Module({ imports: [EtcdModule.forRoot(isGlobal), Elsewhere] })
  class AppModule {}
  const creating = NestFactory.create(AppModule, { logger: false, abortOnError: false })
  await expect(creating).rejects.toThrow(/dependencies of the Outsider/)
})

test('an invalid option stops the app from being created', async () => {
  const creating = start(EtcdModule.forRoot({ ...etcd.options('invalid'), ttl: 1 }))
  await expect(creating).rejects.toMatchObject({ code: 'ERR_INVALID_OPTION' })
})

test('forRootAsync without a source of options says so', () => {
  expect(() => EtcdModule.forRootAsync({})).toThrow(/useFactory, useClass or useExisting/)
})

test('with a registry of your own, app.close() closes the discoveries and leaves it open', async () => {
  const { name, hosts, drainDelay } = etcd.options('own-registry') as { hosts: string } & EtcdModuleOptions
  const registry = createRegistry({ hosts, logger: false })
  onTestFinished(() => registry.close())
  const { app, orders } = await start(
    EtcdModule.forRoot({ ...(name && { name }), drainDelay: drainDelay ?? 0, registry }),
  )
  expect(orders.registry).toBe(registry)
  await app.close()
  expect(registry.status().watches).toEqual([])
  expect(await registry.services()).not.toContain(name)
})

test('an app that is created and never listens is not registered, and closes', async () => {
  const options = etcd.options('never-listens')
  @Module({ imports: [EtcdModule.forRoot(options)] })
  class AppModule {}
  const app = await NestFactory.create(AppModule, { logger: false, abortOnError: false })
  await app.init()
  await app.close()
  expect(await keysOf(etcd.member(), options.name)).toEqual([])
  expect(process.listenerCount('SIGTERM')).toBe(0)
})

test('a server that is closed without the app deregisters too', async () => {
  const options = etcd.options('server-only')
  const view = await watchService(etcd.member(), options.name)
  const { app } = await start(EtcdModule.forRoot(options))
  await view.toHavePorts(app.getHttpServer().address().port)
  app.getHttpServer().close()
  await view.toHavePorts()
})

test('two features of one service with different options in one module are refused, equal ones are one', () => {
  const near = () => true
  const twice = () => EtcdModule.forFeature(['inventory', { name: 'inventory', filter: near }])
  expect(twice).toThrow(
    expect.objectContaining({
      code: 'ERR_INVALID_OPTION',
      message: expect.stringMatching(
        /^EtcdModule\.forFeature\(\) has "inventory" twice, with different options/,
      ),
    }),
  )
  const equal = [{ name: 'inventory', filter: near }, 'payments', { name: 'inventory', filter: near }]
  expect(EtcdModule.forFeature(equal).exports).toHaveLength(3)
})

test('forFeature without forRoot: the error of Nest says what to import', async () => {
  class AppModule {}
  Module({ imports: [EtcdModule.forFeature(['inventory'])] })(AppModule)
  const start = NestFactory.createApplicationContext(AppModule, { logger: false, abortOnError: false })
  await expect(start).rejects.toThrow(/EtcdModule\.forRoot\(\) in the root module/)
})
