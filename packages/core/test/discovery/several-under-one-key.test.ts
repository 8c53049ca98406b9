import { type Change, type Discovery, decodeInstance, type InstanceFormat } from '@etcd-register/core'
import { type EtcdMember, startEtcdBinary, startFaultProxy } from '@etcd-register/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { keepLog, openRegistry, openWriter, reached } from '../support/read-side.ts'
import { until } from '../support/until.ts'

let etcd: EtcdMember

beforeAll(async () => {
  etcd = await startEtcdBinary()
})
afterAll(() => etcd.stop())

/** As APISIX has them: all nodes of an upstream under one key, with their weights. */
const upstreams: InstanceFormat = {
  name: 'upstreams',
  capabilities: {
    read: true,
    status: false,
    version: false,
    zone: false,
    weight: false,
    metadata: false,
    endpoints: false,
  },
  encode: () => [],
  ranges: (name, namespace) => [{ key: `${namespace}/upstreams/${name}` }],
  decode({ key, value }, { name }) {
    const { nodes } = JSON.parse(value.toString()) as { nodes: Record<string, unknown> }
    return {
      instances: Object.entries(nodes).map(([address, weight]) =>
        decodeInstance({ name, address, weight }, key),
      ),
    }
  },
  root: namespace => `${namespace}/upstreams/`,
  serviceOf: (key, namespace) => key.slice(`${namespace}/upstreams/`.length),
}

const nodes = (nodes: Record<string, unknown>) => JSON.stringify({ type: 'roundrobin', nodes })

/** What the events alone tell, by ids. */
function replayed(discovery: Discovery): { changes: Change[]; weights(): Record<string, number> } {
  const changes: Change[] = []
  const table = new Map<string, number>()
  discovery.on('change', change => {
    changes.push(change)
    for (const { id } of change.removed) expect(table.delete(id)).toBe(true)
    for (const { id, weight } of change.updated) {
      expect(table.has(id)).toBe(true)
      table.set(id, weight)
    }
    for (const { id, weight } of change.added) {
      expect(table.has(id)).toBe(false)
      table.set(id, weight)
    }
  })
  return { changes, weights: () => Object.fromEntries(table) }
}

const weightsOf = ({ instances }: Discovery) =>
  Object.fromEntries(instances.map(({ id, weight }) => [id, weight]))

test('a map of nodes under one key is an instance for each, and each change of it is one of theirs', async t => {
  const registry = openRegistry(t, etcd.endpoint, { namespace: '/apisix', format: upstreams })
  const writer = openWriter(t, etcd.endpoint)
  const key = '/apisix/upstreams/web'
  await writer.put(key, nodes({ '10.0.0.1:80': 1, '10.0.0.2:80': 2 }))
  const discovery = registry.discover('web')
  const { changes, weights } = replayed(discovery)
  await discovery.ready()
  const last = () => {
    const { added, removed, updated } = changes.at(-1)!
    return [added, removed, updated].map(list => list.map(({ id }) => id))
  }
  const expectNodes = (expected: Record<string, number>) => {
    expect(weightsOf(discovery)).toEqual(expected)
    expect(weights()).toEqual(expected)
    expect(registry.status().watches).toMatchObject([{ instances: Object.keys(expected).length, skipped: 0 }])
  }
  expectNodes({ '10.0.0.1:80': 1, '10.0.0.2:80': 2 })
  expect(discovery.instances).toMatchObject([
    { key, host: '10.0.0.1' },
    { key, host: '10.0.0.2' },
  ])
  expect(new Set(Array.from({ length: 10 }, () => discovery.pick()?.id)).size).toBe(2)
  expect(await registry.services()).toEqual(['web'])

  const [first] = discovery.instances
  await reached(discovery, await writer.put(key, nodes({ '10.0.0.1:80': 1, '10.0.0.2:80': 5 })))
  expectNodes({ '10.0.0.1:80': 1, '10.0.0.2:80': 5 })
  expect(last()).toEqual([[], [], ['10.0.0.2:80']])
  expect(discovery.instances[0]).toBe(first)

  await reached(discovery, await writer.put(key, nodes({ '10.0.0.3:80': 1, '10.0.0.1:80': 1 })))
  expectNodes({ '10.0.0.1:80': 1, '10.0.0.3:80': 1 })
  expect(last()).toEqual([['10.0.0.3:80'], ['10.0.0.2:80'], []])

  const before = changes.length
  await reached(discovery, await writer.put(key, nodes({ '10.0.0.3:80': 1, '10.0.0.1:80': 1 })))
  expect(changes).toHaveLength(before)

  await reached(discovery, await writer.put(key, nodes({})))
  expectNodes({})
  await reached(discovery, await writer.put(key, nodes({ '10.0.0.4:80': 1 })))
  expectNodes({ '10.0.0.4:80': 1 })
  await reached(discovery, await writer.del(key))
  expectNodes({})
})

test('of the nodes under one key a bad one takes nothing from the others, and is one warning', async t => {
  const logger = keepLog()
  const registry = openRegistry(t, etcd.endpoint, { namespace: '/bad', format: upstreams, logger })
  const writer = openWriter(t, etcd.endpoint)
  const key = '/bad/upstreams/web'
  await writer.put(key, nodes({ '10.0.0.1:80': 1, '0.0.0.0:80': 1, 'no-port': 1, '10.0.0.2:80': 'heavy' }))
  const discovery = registry.discover('web')
  await discovery.ready()
  expect(weightsOf(discovery)).toEqual({ '10.0.0.1:80': 1 })
  expect(registry.status().watches).toMatchObject([{ instances: 1, skipped: 1 }])
  const warning = `skipped some of the instances at "${key}": 3 of 4: an address that nobody can call`
  expect(logger.of('warn')).toEqual([warning])
  await reached(discovery, await writer.put(key, nodes({ '10.0.0.2:80': 1 })))
  expect(registry.status().watches).toMatchObject([{ instances: 1, skipped: 0 }])
  await reached(discovery, await writer.put(key, nodes({ 'no-port': 1 })))
  expect(discovery.instances).toEqual([])
  expect(registry.status().watches).toMatchObject([{ instances: 0, skipped: 1 }])
})

test('too many nodes under one key, and two with one id', async t => {
  const logger = keepLog()
  const twice: InstanceFormat = {
    ...upstreams,
    decode: ({ key }, { name }) => ({
      instances: Array.from({ length: name === 'many' ? 1001 : 2 }, (_, i) =>
        decodeInstance({ name, id: 'a', address: `10.0.0.1:${i + 1}` }, key),
      ),
    }),
  }
  const registry = openRegistry(t, etcd.endpoint, { namespace: '/odd', format: twice, logger })
  const writer = openWriter(t, etcd.endpoint)
  for (const name of ['many', 'twice']) await writer.put(`/odd/upstreams/${name}`, 'x')
  const [many, two] = ['many', 'twice'].map(name => registry.discover(name)) as [Discovery, Discovery]
  await Promise.all([many.ready(), two.ready()])
  expect(many.instances).toEqual([])
  expect(two.instances).toMatchObject([{ id: 'a', port: 1 }])
  expect(
    logger.lines
      .filter(({ level }) => level === 'warn')
      .map(({ fields }) => fields.reason)
      .sort(),
  ).toEqual(['1 of 2: an id that another instance of the key has', 'more than 1000 instances'])
})

test('after an outage the nodes are compared each, and only what changed is a change', async t => {
  await using proxy = await startFaultProxy(etcd)
  const registry = openRegistry(t, proxy.endpoint, { namespace: '/back', format: upstreams })
  const writer = openWriter(t, etcd.endpoint)
  const key = '/back/upstreams/web'
  await writer.put(key, nodes({ '10.0.0.1:80': 1, '10.0.0.2:80': 1 }))
  const discovery = registry.discover('web')
  const { changes, weights } = replayed(discovery)
  await discovery.ready()
  await until(() => !discovery.stale)
  const before = changes.length
  for (const [round, expected] of [
    [0, { '10.0.0.1:80': 1, '10.0.0.2:80': 1 }],
    [1, { '10.0.0.1:80': 1, '10.0.0.3:80': 1 }],
  ] as const) {
    await proxy.cut()
    await writer.put(key, nodes(expected))
    await until(() => discovery.stale)
    await proxy.restore()
    await until(() => !discovery.stale)
    expect(weightsOf(discovery)).toEqual(expected)
    expect(weights()).toEqual(expected)
    expect(changes).toHaveLength(before + round)
  }
})

test('where an address says who it is, nodes of two keys with one address are one instance', async t => {
  const byAddress: InstanceFormat = {
    ...upstreams,
    identity: 'address',
    ranges: (name, namespace) => [{ prefix: `${namespace}/upstreams/${name}/` }],
    serviceOf: (key, namespace) => key.slice(`${namespace}/upstreams/`.length).split('/')[0],
  }
  const registry = openRegistry(t, etcd.endpoint, { namespace: '/both', format: byAddress })
  const writer = openWriter(t, etcd.endpoint)
  const put = (part: string, map: Record<string, unknown>) =>
    writer.put(`/both/upstreams/web/${part}`, nodes(map))
  await put('1', { '10.0.0.1:80': 1, '10.0.0.2:80': 1 })
  await put('2', { '10.0.0.2:80': 2, '10.0.0.3:80': 2 })
  const discovery = registry.discover('web')
  await discovery.ready()
  const sorted = () => Object.entries(weightsOf(discovery)).sort()
  expect(sorted()).toEqual([
    ['10.0.0.1:80', 1],
    ['10.0.0.2:80', 2],
    ['10.0.0.3:80', 2],
  ])
  await reached(discovery, await put('2', { '10.0.0.3:80': 2 }))
  expect(sorted()).toEqual([
    ['10.0.0.1:80', 1],
    ['10.0.0.2:80', 1],
    ['10.0.0.3:80', 2],
  ])
})
