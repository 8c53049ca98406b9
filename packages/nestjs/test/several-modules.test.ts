import 'reflect-metadata'
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import {
  type CurrentRegistration,
  type Discovery,
  ETCD_REGISTRATION,
  ETCD_REGISTRY,
  EtcdModule,
  InjectDiscovery,
  type Registry,
} from '@etcd-register/nestjs'
import { type DynamicModule, Injectable, Module } from '@nestjs/common'
import { ModulesContainer, NestFactory } from '@nestjs/core'
import { install, keysOf } from 'adapter-contract'
import { expect, onTestFinished, test } from 'vitest'
import { useEtcd } from './support/etcd.ts'
import { project } from './support/installed.ts'

const etcd = useEtcd()

/** Listens, and is closed with the test. */
async function start(imports: DynamicModule['imports']) {
  @Module({ imports: imports! })
  class AppModule {}
  const app = await NestFactory.create(AppModule, { logger: false, abortOnError: false })
  onTestFinished(() => app.close())
  await app.listen(0, '127.0.0.1')
  return app
}

/** A module with a provider that injects the discovery of `inventory`. */
function aConsumer(feature: DynamicModule) {
  @Injectable()
  class Consumer {
    constructor(@InjectDiscovery('inventory') readonly inventory: Discovery) {}
  }
  @Module({ imports: [feature], providers: [Consumer] })
  class ConsumerModule {}
  return { ConsumerModule, Consumer }
}

const inZone = (zone: string) =>
  EtcdModule.forFeature([{ name: 'inventory', filter: instance => instance.zone === zone }])

test('two modules that discover one service with different options have each its own, by one watch', async () => {
  const inventory = { ...etcd.options('inventory'), signals: false }
  await start([EtcdModule.forRoot({ ...inventory, zone: 'a' })])
  await start([EtcdModule.forRoot({ ...inventory, zone: 'b' })])
  const [a, b, c, d] = [inZone('a'), inZone('b'), inZone('b'), EtcdModule.forFeature(['inventory'])].map(
    aConsumer,
  )
  const modules = [a, b, c, d].map(one => one!.ConsumerModule)
  const app = await start([EtcdModule.forRoot(etcd.options('consumer')), ...modules])
  const zones = (one: typeof a) =>
    app
      .get(one!.Consumer, { strict: false })
      .inventory.instances.map(({ zone }) => zone)
      .sort()
  await expect.poll(() => zones(d)).toEqual(['a', 'b'])
  expect([zones(a), zones(b), zones(c)]).toEqual([['a'], ['b'], ['b']])
  expect(app.get<Registry>(ETCD_REGISTRY).status().watches).toHaveLength(1)
})

test('forRoot() in several modules is one registry and one registration', async () => {
  const options = etcd.options('imported-twice')
  class FirstModule {}
  class SecondModule {}
  const app = await start([
    { module: FirstModule, imports: [EtcdModule.forRoot(options)] },
    { module: SecondModule, imports: [EtcdModule.forRoot({ ...options })] },
    EtcdModule.forRootAsync({ useFactory: () => Promise.resolve({ ...options }) }),
  ])
  const { current } = app.get<CurrentRegistration>(ETCD_REGISTRATION)
  await current!.ready()
  const registry = app.get<Registry>(ETCD_REGISTRY)
  const registries = [...app.get(ModulesContainer).values()].flatMap(
    ({ providers }) => providers.get(ETCD_REGISTRY)?.instance ?? [],
  )
  expect(new Set(registries)).toEqual(new Set([registry]))
  expect(registry.status().registrations).toMatchObject([{ state: 'registered' }])
  await app.close()
  expect(await keysOf(etcd.member(), options.name)).toEqual([])
  expect(registry.status().etcd.connection).toBe('closed')
})

test('forRoot() in several modules with different options is refused at the start', async () => {
  const options = etcd.options('imported-differently')
  const starting = start([EtcdModule.forRoot(options), EtcdModule.forRoot({ ...options, weight: 7 })])
  await expect(starting).rejects.toMatchObject({
    code: 'ERR_INVALID_OPTION',
    message: expect.stringMatching(
      /import EtcdModule\.forRoot\(\) with a different "weight"\. Import it in the root/,
    ),
  })
})

test('an app of ES modules starts with a library of CommonJS that discovers, in one registry', async () => {
  const app = new URL('./fixtures/two-copies.mjs', import.meta.url)
  const { folder, remove } = install({ ...project(), app, name: 'two-copies' })
  onTestFinished(remove)
  const { stdout } = await promisify(execFile)(process.execPath, [join(folder, 'app.mjs')], {
    cwd: folder,
    timeout: 60_000,
    env: { ...process.env, ETCD_ENDPOINTS: etcd.member().endpoint },
  })
  expect(JSON.parse(stdout)).toEqual({
    copies: 2,
    watches: ['inventory', 'payments'],
    registrations: 1,
    ready: 'up',
  })
})
