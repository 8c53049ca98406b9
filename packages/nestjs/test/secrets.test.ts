import 'reflect-metadata'
import { inspect } from 'node:util'
import {
  type CurrentRegistration,
  EtcdHealthIndicator,
  EtcdModule,
  type EtcdModuleOptions,
  type EtcdOptionsFactory,
  InjectDiscovery,
  InjectRegistration,
  InjectRegistry,
} from '@etcd-register/nestjs'
import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { type DynamicModule, Injectable, Module } from '@nestjs/common'
import { ModulesContainer, NestFactory } from '@nestjs/core'
import { exposed } from 'adapter-contract'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'

const password = 'pa55word-of-orders'
let etcd: EtcdMember

beforeAll(async () => {
  const role = { prefix: '/services/', permission: 'readwrite' } as const
  etcd = await startEtcdBinary({
    tls: { clientCerts: true },
    auth: { rootPassword: 'pa55word-of-root', users: [{ name: 'orders', password, role }] },
  })
})

afterAll(() => etcd?.stop())

function expectNoSecret(of: string, thing: unknown): void {
  const text = exposed(thing)
  const key = etcd.tls!.key.split('\n').slice(1, 3)
  for (const secret of [...key, password, Buffer.from(password).toString('base64'), 'PRIVATE KEY'])
    expect(text.includes(secret), `${of} shows ${secret}`).toBe(false)
}

const options = (): EtcdModuleOptions => ({
  name: 'orders',
  hosts: etcd.endpoint,
  tls: etcd.tls!,
  auth: { username: 'orders', password },
  drainDelay: 0,
  logger: false,
})

/** Holds nothing itself. */
@Injectable()
class OptionsFactory implements EtcdOptionsFactory {
  createEtcdOptions(): Promise<EtcdModuleOptions> {
    return Promise.resolve(options())
  }
}

test.each<[string, () => DynamicModule]>([
  ['forRoot', () => EtcdModule.forRoot(options())],
  ['forRootAsync with useFactory', () => EtcdModule.forRootAsync({ useFactory: () => options() })],
  ['forRootAsync with a promise', () => EtcdModule.forRootAsync({ useFactory: async () => options() })],
  ['forRootAsync with useClass', () => EtcdModule.forRootAsync({ useClass: OptionsFactory })],
])('%s: neither the module nor anything in the container of the app shows a secret', async (_, make) => {
  @Injectable()
  class Orders {
    constructor(
      @InjectRegistry() readonly registry: unknown,
      @InjectRegistration() readonly registration: CurrentRegistration,
      @InjectDiscovery('orders') readonly discovery: unknown,
      readonly health: EtcdHealthIndicator,
    ) {}
  }
  Reflect.defineMetadata('design:paramtypes', [Object, Object, Object, EtcdHealthIndicator], Orders)
  const etcdModule = make()
  expectNoSecret('the module before the start', etcdModule)
  @Module({ imports: [etcdModule, EtcdModule.forFeature(['orders'])], providers: [Orders] })
  class AppModule {}
  const app = await NestFactory.create(AppModule, { logger: false, abortOnError: false })
  onTestFinished(() => app.close())
  await app.listen(0, '127.0.0.1')
  const orders = app.get(Orders)
  await orders.registration.current!.ready()
  expectNoSecret('the module', etcdModule)
  expectNoSecret('a provider of the app', orders)
  expectNoSecret('the registration', orders.registration.current)
  expectNoSecret('the health', await orders.health.isReady())
  const container = app.get(ModulesContainer)
  const ours = [...container.values()]
    .flatMap(module => [...module.providers.values()])
    .filter(({ name, token }) => /^(?:ETCD_REGISTER|Etcd|Orders|OptionsFactory)/.test(name ?? String(token)))
  expect(ours.map(({ token }) => token)).toContain('ETCD_REGISTER:OPTIONS')
  for (const { token, instance, metatype } of ours) {
    expectNoSecret(String(token), instance)
    expectNoSecret(`how ${String(token)} is made`, metatype)
  }
  // Deep enough for what the providers hold; beyond that are the sockets of Node.
  expect(inspect(container, { depth: 7, showHidden: true })).not.toContain(password)
})

test('an option that is refused shows no secret in what the app fails with', async () => {
  @Module({ imports: [EtcdModule.forRoot({ ...options(), ttl: 1 })] })
  class AppModule {}
  const error = await NestFactory.create(AppModule, { logger: false, abortOnError: false }).catch(
    error => error,
  )
  expect(error.code).toBe('ERR_INVALID_OPTION')
  expectNoSecret('the error', error)
})
