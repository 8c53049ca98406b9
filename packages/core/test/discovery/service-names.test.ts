import { kitexFormat, kratosFormat, plainFormat } from '@etcd-register/core'
import { startFaultProxy } from '@etcd-register/testing'
import { expect, test } from 'vitest'
import { startHostileEtcd, type Trick } from '../../../../fixtures/hostile-etcd/index.ts'
import { valueFor } from '../support/raw-writer.ts'
import { discover, openRegistry, openWriter, startEtcd } from '../support/read-side.ts'

test('the names of all services cost their keys, and of the values one for each name', async t => {
  const etcd = await startEtcd(t)
  await using proxy = await startFaultProxy(etcd)
  const writer = openWriter(t, etcd.endpoint)
  const large = 'x'.repeat(3000)
  const pad = (i: number) => String(i).padStart(5, '0')
  const many = (count: number, put: (i: number) => string, value: (i: number) => string) =>
    Array.from({ length: count }, (_, i) => ({ put: put(i), value: value(i) }))
  await writer.fill([
    // Instances of one service, settings of somebody, and instances of another root: all of it is in the root of gRPC.
    ...many(
      1000,
      i => `orders/${pad(i)}`,
      i => `{"Addr":"10.0.0.5:${i + 1}","Metadata":{"a":"${large}"}}`,
    ),
    ...many(
      1000,
      i => `settings/${pad(i)}`,
      () => large,
    ),
    ...many(
      1000,
      i => `/services/web/${pad(i)}`,
      i => valueFor('web', pad(i), { metadata: { a: large } }),
    ),
  ])
  await writer.put('user.rpc/1', '10.0.0.5:8080')
  await writer.put('late/a', 'no instance')
  await writer.put('late/b', '{"Addr":"10.0.0.5:80"}')

  for (const [format, names] of [
    ['grpc', ['late', 'orders']],
    ['go-zero', ['user.rpc']],
    ['json', ['web']],
  ] as const) {
    const registry = openRegistry(t, proxy.endpoint, { format })
    const before = proxy.bytes.down
    expect(await registry.services()).toEqual(names)
    const bytes = proxy.bytes.down - before
    expect(bytes, format).toBeGreaterThan(10_000)
    expect(bytes, format).toBeLessThan(1_000_000)
  }
}, 60_000)

test('where etcd compacts the revision between the keys and the values, the names are read again', async t => {
  const etcd = await startEtcd(t)
  const writer = openWriter(t, etcd.endpoint)
  const hostile = await startHostileEtcd(etcd)
  t.onTestFinished(() => hostile.stop())
  const registry = openRegistry(t, hostile.endpoint)
  await writer.put('/services/web/a', valueFor('web', 'a'))
  expect(await registry.services()).toEqual(['web'])
  let compactions = 0
  const compacted = {
    ':status': 200,
    'content-type': 'application/grpc',
    'grpc-status': '11',
    'grpc-message': 'etcdserver: mvcc: required revision has been compacted',
  }
  // Once the keys are read, etcd has nothing of that revision any more.
  const keys: Trick = {
    method: 'Range',
    answer: message => {
      hostile.trick = {
        method: 'Range',
        instead: stream => {
          compactions += 1
          hostile.trick = compactions < most ? keys : undefined
          stream.respond(compacted, { endStream: true })
        },
      }
      return message
    },
  }
  let most = 2
  hostile.trick = keys
  expect(await registry.services()).toEqual(['web'])
  expect(compactions).toBe(2)
  most = Number.POSITIVE_INFINITY
  hostile.trick = keys
  await expect(registry.services()).rejects.toMatchObject({ code: 'ERR_ETCD_COMPACTED' })
  expect(compactions).toBe(5)
})

test('equal formats that were made each for itself share one watch', async t => {
  const etcd = await startEtcd(t)
  const registry = openRegistry(t, etcd.endpoint)
  const writer = openWriter(t, etcd.endpoint)
  await writer.put('/microservices/web/a', valueFor('web', 'a'))
  const equal = [
    kratosFormat(),
    kratosFormat(),
    kratosFormat({ namespace: '/microservices' }),
    'kratos' as const,
  ]
  const { discovery: first } = await discover(registry, 'web', { format: kratosFormat() })
  for (const format of equal) {
    const { discovery } = await discover(registry, 'web', { format })
    expect(discovery.instances).toBe(first.instances)
  }
  expect(registry.status().watches).toMatchObject([{ format: 'kratos' }])

  const others = [
    kratosFormat({ namespace: '/prod' }),
    // Kratos itself has two slashes then.
    kratosFormat({ namespace: '/microservices/' }),
    // Somebody may make something else of it.
    { ...kratosFormat() },
    { ...kratosFormat(), name: 'mine' },
    kitexFormat(),
    kitexFormat({ protocol: 'thrift' }),
    kitexFormat({ defaultWeight: 100 }),
    plainFormat(),
  ]
  for (const format of others) await discover(registry, 'web', { format })
  await discover(registry, 'web', { format: kitexFormat({ protocol: 'tcp', defaultWeight: 10 }) })
  // Plain reads a prefix and a key.
  expect(registry.status().watches).toHaveLength(others.length + 2)

  const both = () => discover(registry, 'web', { format: [kratosFormat(), kitexFormat()] })
  await Promise.all([both(), both()])
  expect(registry.status().watches).toHaveLength(others.length + 4)
})
