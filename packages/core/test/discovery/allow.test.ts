import type { Allow } from '@etcd-register/core'
import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { valueFor } from '../support/raw-writer.ts'
import { discover, keepLog, openRegistry, openWriter, reached } from '../support/read-side.ts'

let etcd: EtcdMember

beforeAll(async () => {
  etcd = await startEtcdBinary()
})
afterAll(() => etcd.stop())

const notMetadataService: Allow = ({ host }) => !host.startsWith('169.254.')

test('endpoints that `allow` refuses are left out, and an instance without another one is skipped with one warning', async t => {
  const logger = keepLog()
  const registry = openRegistry(t, etcd.endpoint, {
    namespace: '/refused',
    logger,
    allow: notMetadataService,
  })
  const writer = openWriter(t, etcd.endpoint)
  const put = (id: string, ...endpoints: string[]) =>
    writer.put(`/refused/web/${id}`, valueFor('web', id, { endpoints }))
  await put('good', 'http://10.0.0.5:80')
  await put('both', 'http://169.254.169.254:80', 'grpc://10.0.0.6:90', 'http://[::ffff:a9fe:a9fe]:80')
  await writer.put('/refused/only/bad', valueFor('only', 'bad', { endpoints: ['http://169.254.169.254:80'] }))
  const { discovery } = await discover(registry, 'web')
  await put('mapped', 'http://[::FFFF:169.254.169.254]:80')
  await reached(discovery, await put('bad', 'http://169.254.169.254:80'))

  expect(discovery.instances).toMatchObject([
    { id: 'both', host: '10.0.0.6', port: 90, protocol: 'grpc', endpoints: ['grpc://10.0.0.6:90'] },
    { id: 'good', endpoints: ['http://10.0.0.5:80'] },
  ])
  expect(logger.of('warn')).toEqual([
    expect.stringContaining('/refused/web/mapped", no instance: the option "allow" refuses'),
    expect.stringContaining('/refused/web/bad", no instance: the option "allow" refuses 169.254.169.254:80'),
  ])
  expect(registry.status().watches[0]).toMatchObject({ instances: 2, skipped: 2 })
  expect(await registry.services()).toEqual(['web'])
})

test('`allow` gets protocol, host and port, the host in one form', async t => {
  const seen = new Set<string>()
  const allow: Allow = ({ protocol, host, port }) => seen.add(`${protocol} ${host} ${port}`) !== undefined
  const registry = openRegistry(t, etcd.endpoint, { namespace: '/form', allow })
  const writer = openWriter(t, etcd.endpoint)
  const endpoints = [
    'http://A.Example.:80',
    'grpc://[FD00:0::5]:1',
    'x://[::ffff:10.0.0.5]:2',
    'y://10.0.0.6:3',
  ]
  await writer.put('/form/web/a', valueFor('web', 'a', { endpoints }))
  const { discovery } = await discover(registry, 'web')
  expect([...seen].sort()).toEqual(['grpc fd00::5 1', 'http a.example 80', 'x 10.0.0.5 2', 'y 10.0.0.6 3'])
  expect(discovery.instances).toMatchObject([{ host: 'A.Example.', endpoints }])
})

test('an `allow` that throws, or gives anything but true and false, skips with one warning', async t => {
  const logger = keepLog()
  const answers: Record<string, () => unknown> = {
    '10.0.0.1': () => {
      throw new Error('no\u001b[2J')
    },
    '10.0.0.2': () => {
      throw Object.create(null)
    },
    '10.0.0.3': async () => true,
    '10.0.0.4': () => 1,
    '10.0.0.5': () => undefined,
    '10.0.0.6': () => true,
  }
  const allow = (({ host }) => answers[host]!()) as Allow
  const registry = openRegistry(t, etcd.endpoint, { namespace: '/throws', logger, allow, format: 'plain' })
  const writer = openWriter(t, etcd.endpoint)
  const { discovery } = await discover(registry, 'web')
  for (const host of Object.keys(answers)) await writer.put(`/throws/web/${host}`, `${host}:80`)
  await reached(discovery, await writer.put('/throws/web/10.0.0.1', '10.0.0.1:80'))
  expect(discovery.instances).toMatchObject([{ host: '10.0.0.6' }])
  expect(logger.of('warn').map(line => line.replace(/.*no instance: /, ''))).toEqual([
    'the option "allow" threw: no\\u001b[2J',
    'the option "allow" threw: object',
    'the option "allow" threw: it gave object, not true or false',
    'the option "allow" threw: it gave number, not true or false',
    'the option "allow" threw: it gave undefined, not true or false',
  ])
})

test('what is registered here does not ask `allow`', async t => {
  const registry = openRegistry(t, etcd.endpoint, { namespace: '/own', allow: () => false })
  const registration = registry.register({ name: 'web', host: '10.0.0.5', port: 80 })
  await registration.ready()
  const { discovery } = await discover(registry, 'web')
  expect(discovery.instances).toEqual([])
  expect(registration.state).toBe('registered')
})
