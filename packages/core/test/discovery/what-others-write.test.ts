import type { FormatName, ServiceInstance } from '@etcd-register/core'
import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { discover, keepLog, openRegistry, openWriter } from '../support/read-side.ts'

let etcd: EtcdMember

beforeAll(async () => {
  etcd = await startEtcdBinary()
})
afterAll(() => etcd.stop())

const kratos = (id: string, metadata: unknown, query = '') =>
  JSON.stringify({
    ...{ id, name: 'web', version: '', metadata },
    endpoints: [`http://10.0.0.35:800${id}${query}`, `grpc://10.0.0.35:900${id}${query}`],
  })

interface Case {
  format: FormatName
  title: string
  values: Record<string, string>
  instances: Partial<ServiceInstance>[]
}

const CASES: Case[] = [
  {
    format: 'kratos',
    title: 'TLS by a query, and weights above ours, in their proportion',
    values: {
      '/microservices/web/1': kratos('1', { weight: '2500' }, '?isSecure=true'),
      '/microservices/web/2': kratos('2', { weight: '5000' }, '?isSecure=false'),
    },
    instances: [
      { protocol: 'https', endpoints: ['https://10.0.0.35:8001', 'grpcs://10.0.0.35:9001'], weight: 2500 },
      { protocol: 'http', endpoints: ['http://10.0.0.35:8002', 'grpc://10.0.0.35:9002'], weight: 5000 },
    ],
  },
  {
    format: 'json',
    title: 'numbers, true and false in metadata',
    values: { '/services/web/1': kratos('1', { shard: 7, canary: true }) },
    instances: [{ port: 8001, metadata: { shard: '7', canary: 'true' } }],
  },
  {
    format: 'go-micro',
    title: 'the port beside the address',
    values: {
      '/micro/registry/web/n':
        '{"name":"web","version":"1","nodes":[{"id":"n","address":"fd00::5","port":80}]}',
    },
    instances: [{ host: 'fd00::5', port: 80, endpoints: ['http://[fd00::5]:80'] }],
  },
  {
    format: 'grpc',
    title: 'a weight as text, and one that is none',
    values: {
      'web/10.0.0.1:80': '{"Op":0,"Addr":"10.0.0.1:80","Metadata":{"weight":"20"}}',
      'web/10.0.0.2:80': '{"Op":0,"Addr":"10.0.0.2:80","Metadata":{"weight":"heavy"}}',
    },
    instances: [
      { weight: 20, metadata: {} },
      { weight: 100, metadata: { weight: 'heavy' } },
    ],
  },
  {
    format: 'kitex',
    title: 'a network of one family',
    values: {
      'kitex/registry-etcd/web/10.0.0.1:80':
        '{"network":"tcp4","address":"10.0.0.1:80","weight":5,"tags":null}',
    },
    instances: [{ host: '10.0.0.1', weight: 50 }],
  },
  {
    format: 'plain',
    title: 'the line break of echo; and what another team has below the service',
    values: {
      '/services/web/1': '10.0.0.1:80\n',
      '/services/web/cart/10.0.0.9:80': '10.0.0.9:80',
    },
    instances: [{ id: '1', host: '10.0.0.1', port: 80 }],
  },
]

test.for(CASES)('$format: $title', async ({ format, values, instances }, t) => {
  const logger = keepLog()
  const namespace = format === 'json' || format === 'plain' ? `/${format}` : undefined
  const registry = openRegistry(t, etcd.endpoint, { format, logger, ...(namespace && { namespace }) })
  const writer = openWriter(t, etcd.endpoint)
  for (const [key, value] of Object.entries(values))
    await writer.put(namespace ? key.replace('/services', namespace) : key, value)
  const { discovery } = await discover(registry, 'web')
  t.expect(discovery.instances).toMatchObject(instances)
  t.expect(logger.of('warn')).toEqual([])
  t.expect(registry.status().watches[0]).toMatchObject({ skipped: 0 })
  const picked = new Set(Array.from({ length: 20 * instances.length }, () => discovery.pick()))
  t.expect(picked).toEqual(new Set(discovery.instances))
  t.expect(await registry.services()).toContain('web')
})

test('what comes into etcd through etcdctl from a pipe', async t => {
  const registry = openRegistry(t, etcd.endpoint, { format: 'go-zero' })
  await etcd.etcdctl('put', 'piped.rpc/7', '10.0.0.5:8080\n')
  const { discovery } = await discover(registry, 'piped.rpc')
  expect(discovery.instances).toMatchObject([{ host: '10.0.0.5', port: 8080 }])
})
