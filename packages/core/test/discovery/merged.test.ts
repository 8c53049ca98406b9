import {
  type FormatName,
  goMicroFormat,
  type InstanceFormat,
  kratosFormat,
  type ServiceInstance,
} from '@etcd-register/core'
import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { valueFor } from '../support/raw-writer.ts'
import { discover, keepLog, openRegistry, openWriter, reached } from '../support/read-side.ts'

let etcd: EtcdMember

beforeAll(async () => {
  etcd = await startEtcdBinary()
})
afterAll(() => etcd.stop())

const addresses = (instances: readonly ServiceInstance[]) =>
  instances.map(({ host, port }) => `${host}:${port}`).sort()

test('one address under two keys of go-zero is one instance, until the last key is gone', async t => {
  const registry = openRegistry(t, etcd.endpoint, { format: 'go-zero' })
  const writer = openWriter(t, etcd.endpoint)
  const { discovery, witness } = await discover(registry, 'user.rpc')
  await reached(discovery, await writer.put('user.rpc/1', '10.0.0.5:8080'))
  // It registered again before the lease of its old key ran out.
  await reached(discovery, await writer.put('user.rpc/2', '10.0.0.5:8080'))
  expect(discovery.instances).toMatchObject([{ id: '10.0.0.5:8080', key: 'user.rpc/2' }])
  expect(registry.status().watches).toMatchObject([{ instances: 2, skipped: 0 }])
  expect(witness.changes).toHaveLength(2)
  await reached(discovery, await writer.del('user.rpc/1'))
  expect(discovery.instances).toMatchObject([{ id: '10.0.0.5:8080', key: 'user.rpc/2' }])
  expect(registry.status().watches).toMatchObject([{ format: 'go-zero', instances: 1, skipped: 0 }])
  await reached(discovery, await writer.del('user.rpc/2'))
  expect(discovery.instances).toEqual([])
  expect(registry.status().watches).toMatchObject([{ instances: 0 }])
  expect(
    witness.changes.map(({ added, removed, updated }) => [added.length, removed.length, updated.length]),
  ).toEqual([
    [1, 0, 0],
    [0, 0, 1],
    [0, 1, 0],
  ])
})

test('a key that moves in one transaction is one change of one instance', async t => {
  const registry = openRegistry(t, etcd.endpoint, { format: 'go-zero' })
  const writer = openWriter(t, etcd.endpoint)
  const { discovery, witness } = await discover(registry, 'moved.rpc')
  await reached(discovery, await writer.put('moved.rpc/1', '10.0.0.5:8080'))
  await reached(
    discovery,
    await writer.write([{ del: 'moved.rpc/1' }, { put: 'moved.rpc/2', value: '10.0.0.5:8080' }]),
  )
  expect(witness.changes.at(-1)).toMatchObject({ added: [], removed: [], updated: [{ key: 'moved.rpc/2' }] })
})

test('another address under the same key is another instance', async t => {
  const registry = openRegistry(t, etcd.endpoint, { format: 'go-zero' })
  const writer = openWriter(t, etcd.endpoint)
  await writer.put('other.rpc/1', '10.0.0.5:8080')
  const { discovery, witness } = await discover(registry, 'other.rpc')
  await reached(discovery, await writer.put('other.rpc/1', '10.0.0.6:8080'))
  expect(addresses(discovery.instances)).toEqual(['10.0.0.6:8080'])
  expect(witness.changes.at(-1)).toMatchObject({
    added: [{ host: '10.0.0.6' }],
    removed: [{ host: '10.0.0.5' }],
    updated: [],
  })
})

test('of several formats each address is one instance, as the first format has it', async t => {
  const registry = openRegistry(t, etcd.endpoint)
  const writer = openWriter(t, etcd.endpoint)
  const json = { put: '/services/mix/a', value: valueFor('mix', 'a', { zone: 'eu' }) }
  const grpc = { put: 'mix/x', value: '{"Op":0,"Addr":"10.0.0.5:8000","Metadata":null}' }
  const alone = { put: 'mix/y', value: '{"Op":0,"Addr":"10.0.0.6:8000","Metadata":null}' }
  await writer.write([grpc, alone])
  const { discovery } = await discover(registry, 'mix', { format: ['json', 'grpc'] })
  expect(addresses(discovery.instances)).toEqual(['10.0.0.5:8000', '10.0.0.6:8000'])
  expect(discovery.instances[0]!.protocol).toBe('grpc')

  const now = () => discovery.instances
  await writer.write([json])
  await expect.poll(now).toMatchObject([{ zone: 'eu', id: 'a', protocol: 'http' }, { port: 8000 }])
  const before = now()
  await writer.del(grpc.put)
  await writer.del(alone.put)
  await expect.poll(now).toMatchObject([{ zone: 'eu', id: 'a' }])
  expect(now()[0]).toBe(before[0])
  await writer.write([grpc, { del: json.put }])
  await expect.poll(now).toMatchObject([{ zone: '', id: 'x' }])
  await writer.del(grpc.put)
  await expect.poll(now).toEqual([])
})

test('a key that a dead process left behind hides nobody at its address, and the newest of the others counts', async t => {
  const registry = openRegistry(t, etcd.endpoint)
  const writer = openWriter(t, etcd.endpoint)
  const value = (id: string, more: object) => valueFor('ghost', id, more)
  const { discovery } = await discover(registry, 'ghost', { format: ['json', 'kratos'] })
  await writer.put('/services/ghost/dead', value('dead', { status: 'suspended' }))
  await writer.put('/microservices/ghost/new', value('new', {}))
  const id = () => discovery.instances[0]?.id
  await expect.poll(id).toBe('new')
  await writer.put('/services/ghost/zero', value('zero', { weight: 0 }))
  await writer.put('/services/ghost/first', value('first', { version: '1' }))
  await writer.put('/services/ghost/second', value('second', { version: '1' }))
  await expect.poll(id).toBe('second')
  // A key that is written again stays as old as it is.
  await writer.put('/services/ghost/first', value('first', { version: '2' }))
  await writer.put('/services/ghost/after', value('after', { endpoints: ['http://10.0.0.9:80'] }))
  await expect.poll(() => discovery.instances.map(({ id }) => id)).toEqual(['second', 'after'])
  // Whoever looks for the first time sees the same.
  const fresh = openRegistry(t, etcd.endpoint).discover('ghost', { format: ['json', 'kratos'] })
  await fresh.ready()
  expect(new Set(fresh.instances)).toEqual(new Set(discovery.instances))
  for (const key of ['first', 'second']) await writer.del(`/services/ghost/${key}`)
  await expect.poll(id).toBe('new')
  await writer.del('/microservices/ghost/new')
  await expect.poll(() => discovery.instances).toMatchObject([{ id: 'zero' }, { id: 'after' }])
})

test('an instance in several formats is suspended, resumed and gone in one change each', async t => {
  const registry = openRegistry(t, etcd.endpoint, { format: ['json', 'kratos', 'go-zero'] })
  const format = ['json', 'kratos', 'go-zero'] as FormatName[]
  const filter = ({ zone }: ServiceInstance) => zone === 'eu'
  const { discovery, witness } = await discover(registry, 'steps', { format, filter })
  const registration = registry.register({ name: 'steps', host: '10.0.0.5', port: 8000, zone: 'eu' })
  await registration.ready()
  const steps = () =>
    witness.changes.map(({ added, removed, updated }) => [added.length, removed.length, updated.length])
  await expect.poll(steps).toEqual([[1, 0, 0]])
  await registration.suspend()
  await expect.poll(() => discovery.pick()).toBeUndefined()
  await registration.resume()
  await expect.poll(() => discovery.pick()).toBeDefined()
  await registration.deregister()
  await expect.poll(() => discovery.instances).toEqual([])
  // Announced as leaving, and then gone.
  const updated = [0, 0, 1]
  expect(steps()).toEqual([[1, 0, 0], updated, updated, updated, [0, 1, 0]])
})

test('equal puts of two keys at one address are no change', async t => {
  const registry = openRegistry(t, etcd.endpoint, { format: 'go-zero' })
  const writer = openWriter(t, etcd.endpoint)
  await writer.put('equal.rpc/1', '10.0.0.5:80')
  await writer.put('equal.rpc/2', '10.0.0.5:80')
  const { discovery, witness } = await discover(registry, 'equal.rpc')
  for (const key of [1, 2, 1, 2])
    await reached(discovery, await writer.put(`equal.rpc/${key}`, '10.0.0.5:80'))
  expect(witness.changes).toHaveLength(1)
})

test('a value that none of the formats of its range reads is warned of once', async t => {
  const logger = keepLog()
  const format = ['json', kratosFormat({ namespace: '/services' })] as (FormatName | InstanceFormat)[]
  const registry = openRegistry(t, etcd.endpoint, { logger })
  const writer = openWriter(t, etcd.endpoint)
  await writer.put('/services/nobody/listed', '{nope')
  const { discovery } = await discover(registry, 'nobody', { format })
  await reached(discovery, await writer.put('/services/nobody/seen', '{nope'))
  await expect.poll(() => registry.status().watches.map(({ skipped }) => skipped)).toEqual([2, 2])
  expect(logger.of('warn')).toEqual([
    expect.stringContaining('/services/nobody/listed'),
    expect.stringContaining('/services/nobody/seen'),
  ])
})

test('an IPv6 address and a host name are the same however they are written', async t => {
  const registry = openRegistry(t, etcd.endpoint)
  const writer = openWriter(t, etcd.endpoint)
  await writer.put('same.rpc/1', '[FD00:0:0::5]:80')
  await writer.put('same.rpc/2', '[fd00::5]:80')
  await writer.put('same.rpc/3', 'A.example:80')
  await writer.put('same.rpc/4', 'a.Example:80')
  await writer.put('same.rpc/5', 'a.example:81')
  const { discovery } = await discover(registry, 'same.rpc', { format: 'go-zero' })
  expect(addresses(discovery.instances)).toEqual(['a.Example:80', 'a.example:81', 'fd00::5:80'])
})

test('a format that is asked for by name is the one that the registry was given', async t => {
  const format = ['json' as const, kratosFormat({ namespace: '/named' })]
  const registry = openRegistry(t, etcd.endpoint, { format })
  const writer = openWriter(t, etcd.endpoint)
  await writer.put('/named/given/a', valueFor('given', 'a'))
  await writer.put('/microservices/given/b', valueFor('given', 'b'))
  const ids = async (asked: FormatName | FormatName[]) => {
    const { discovery } = await discover(registry, 'given', { format: asked })
    return discovery.instances.map(({ id }) => id)
  }
  expect(await ids('kratos')).toEqual(['a'])
  expect(await ids(['kratos', 'plain'])).toEqual(['a'])
  expect(await registry.services({ format: 'kratos' })).toEqual(['given'])
  const { discovery } = await discover(registry, 'given', { format: kratosFormat() })
  expect(discovery.instances).toMatchObject([{ id: 'b' }])
})

test('of several formats each range is told of by itself, and a value that is bad where only one reads is warned of', async t => {
  const logger = keepLog()
  const registry = openRegistry(t, etcd.endpoint, { logger })
  const writer = openWriter(t, etcd.endpoint)
  await writer.put('/services/told/a', valueFor('told', 'a'))
  await writer.put('/microservices/told/bad', '{bad')
  await discover(registry, 'told', { format: ['json', 'kratos'] })
  expect(registry.status().watches).toMatchObject([
    { format: 'json', prefix: '/services/told/', instances: 1, skipped: 0 },
    { format: 'kratos', prefix: '/microservices/told/', instances: 0, skipped: 1 },
  ])
  expect(logger.of('warn')).toEqual([expect.stringContaining('/microservices/told/bad')])
})

test('the keys of the old and the new prefix of a peer are read as one service', async t => {
  const registry = openRegistry(t, etcd.endpoint)
  const writer = openWriter(t, etcd.endpoint)
  const node = (address: string) =>
    `{"name":"greeter","version":"1","metadata":null,"endpoints":[],"nodes":[{"metadata":{},"id":"n","address":"${address}"}]}`
  await writer.put('/micro/registry/greeter/n', node('10.0.0.5:1'))
  await writer.put('/micro-registry/greeter/n', node('10.0.0.6:1'))
  const format = ['go-micro' as const, goMicroFormat({ namespace: '/micro-registry' })]
  const { discovery } = await discover(registry, 'greeter', { format })
  expect(addresses(discovery.instances)).toEqual(['10.0.0.5:1', '10.0.0.6:1'])
})

test('each format of a service has a table of its own, which all who ask for it share', async t => {
  const registry = openRegistry(t, etcd.endpoint)
  const writer = openWriter(t, etcd.endpoint)
  await writer.put('/services/shared/a', valueFor('shared', 'a'))
  await writer.put('shared/b', '{"Op":0,"Addr":"10.0.0.6:8000","Metadata":null}')
  const { discovery: json } = await discover(registry, 'shared')
  const { discovery: grpc } = await discover(registry, 'shared', { format: 'grpc' })
  const { discovery: again } = await discover(registry, 'shared', { format: 'grpc' })
  expect([json, grpc, again].map(({ instances }) => addresses(instances))).toEqual([
    ['10.0.0.5:8000'],
    ['10.0.0.6:8000'],
    ['10.0.0.6:8000'],
  ])
  expect(again.instances).toBe(grpc.instances)
  const { discovery: both } = await discover(registry, 'shared', { format: ['json', 'grpc'] })
  expect(addresses(both.instances)).toEqual(['10.0.0.5:8000', '10.0.0.6:8000'])
  await both.close()
  const writes = openRegistry(t, etcd.endpoint, { format: ['traefik', 'json', 'grpc'] })
  const { discovery: first } = await discover(writes, 'shared')
  expect(addresses(first.instances)).toEqual(['10.0.0.5:8000'])
  expect(registry.status().watches.map(({ prefix }) => prefix)).toEqual(['/services/shared/', 'shared/'])
  await grpc.close()
  await again.close()
  expect(registry.status().watches).toHaveLength(1)
  expect(() => registry.discover('shared', { format: 'xml' as never })).toThrow(/one of json, plain, kratos/)
})

test('of several formats the revision is that of the last change', async t => {
  const registry = openRegistry(t, etcd.endpoint)
  const writer = openWriter(t, etcd.endpoint)
  const { discovery } = await discover(registry, 'seen', { format: ['json', 'grpc'] })
  const changed = new Promise<bigint>(resolve => discovery.on('change', () => resolve(discovery.revision)))
  const revision = await writer.put('/services/seen/a', valueFor('seen', 'a'))
  expect(await changed).toBe(BigInt(revision))
  await discovery.close()
  await expect.poll(async () => (await etcd.metrics()).get('etcd_debugging_mvcc_watcher_total')).toBe(0)
})

test('a format that is asked for is looked for in the namespace of the registry', async t => {
  const registry = openRegistry(t, etcd.endpoint, { namespace: '/here' })
  await discover(registry, 'web', { format: 'kratos' })
  expect(registry.status().watches).toMatchObject([{ prefix: '/here/web/' }])
})

test('the names of all services, where their keys begin with nothing', async t => {
  const registry = openRegistry(t, etcd.endpoint, { format: 'grpc' })
  const writer = openWriter(t, etcd.endpoint)
  await writer.put('first/10.0.0.5:1', '{"Op":0,"Addr":"10.0.0.5:1","Metadata":null}')
  await writer.put('zzz/10.0.0.5:1', '{"Op":0,"Addr":"10.0.0.5:1","Metadata":null}')
  await writer.put('~/10.0.0.5:1', '{"Op":0,"Addr":"10.0.0.5:1","Metadata":null}')
  const names = await registry.services()
  expect(names).toEqual(expect.arrayContaining(['first', 'zzz']))
  expect(names).not.toContain('~')
})

test('the names of all services in several formats, each once', async t => {
  const registry = openRegistry(t, etcd.endpoint)
  const writer = openWriter(t, etcd.endpoint)
  await writer.put('/services/named/a', valueFor('named', 'a'))
  await writer.put('/microservices/named/a', valueFor('named', 'a'))
  await writer.put('/microservices/named2/a', valueFor('named2', 'a'))
  const named = async (format?: FormatName | FormatName[]) =>
    (await registry.services(format && { format })).filter(name => name.startsWith('named'))
  expect(await named()).toEqual(['named'])
  expect(await named('kratos')).toEqual(['named', 'named2'])
  expect(await named(['json', 'kratos'])).toEqual(['named', 'named2'])
  await expect(registry.services({ formats: 'kratos' } as never)).rejects.toThrow(/"formats"/)
})

test('two formats under one prefix, as in the middle of a migration, are read without a warning', async t => {
  const logger = keepLog()
  const registry = openRegistry(t, etcd.endpoint, { logger })
  const writer = openWriter(t, etcd.endpoint)
  await writer.put('/services/old/a', '10.0.0.4:8000')
  await writer.put('/services/old/b', valueFor('old', 'b'))
  const { discovery } = await discover(registry, 'old', { format: ['json', 'plain'] })
  expect(addresses(discovery.instances)).toEqual(['10.0.0.4:8000', '10.0.0.5:8000'])
  expect(logger.of('warn')).toEqual([])
})
