import { setTimeout as pass } from 'node:timers/promises'
import { type EtcdFront, startGrpcProxy } from '@etcd-register/testing'
import { expect, type TestContext, test } from 'vitest'
import { expectConverged } from '../support/oracle.ts'
import { valueFor } from '../support/raw-writer.ts'
import { discover, openRegistry, openWriter, startEtcd, untilFresh } from '../support/read-side.ts'
import { until } from '../support/until.ts'

async function grpcProxy(t: TestContext, etcd: { endpoint: string }): Promise<EtcdFront> {
  const proxy = await startGrpcProxy(etcd)
  t.onTestFinished(() => proxy.stop())
  return proxy
}

const entry = (name: string, id: string, fields: object = {}) => ({
  put: `/services/${name}/${id}`,
  value: valueFor(name, id, fields),
})

test.concurrent('behind grpc-proxy each event goes to its own watch, whoever gives the ids', async t => {
  const etcd = await startEtcd(t)
  const proxy = await grpcProxy(t, etcd)
  const writer = openWriter(t, etcd.endpoint)
  const names = ['aaa', 'bbb', 'ccc', 'ddd', 'eee']
  const registry = openRegistry(t, proxy.endpoint)
  const other = openRegistry(t, proxy.endpoint)
  const found = await Promise.all(
    [...names, ...names].map((name, i) => discover(i < 5 ? registry : other, name)),
  )
  for (let round = 0; round < 12; round += 1) {
    for (const name of names) {
      await writer.write([entry(name, 'x', { version: `${round}` }), entry(name, `${name}${round}`)])
      if (round > 2) await writer.del(`/services/${name}/${name}${round - 2}`)
    }
    await found[round % 5]!.discovery.close()
    found[round % 5] = await discover(registry, names[round % 5]!)
  }
  for (const { witness } of found)
    await expectConverged(witness, etcd, `/services/${witness.discovery.name}/`)
  for (const { relists, repairs } of registry.status().watches) {
    expect({ relists, repairs }).toEqual({ relists: 0, repairs: 0 })
  }
})

test.concurrent('behind grpc-proxy a store in which nobody writes is not stale, and the proxy logs no errors', async t => {
  const etcd = await startEtcd(t)
  const proxy = await grpcProxy(t, etcd)
  const writer = openWriter(t, etcd.endpoint)
  for (const name of ['orders', 'payments']) await writer.write([entry(name, 'a')])
  const registry = openRegistry(t, proxy.endpoint)
  const found = await Promise.all(['orders', 'payments'].map(name => discover(registry, name)))
  for (const { discovery } of found) await untilFresh(discovery)
  let stale = 0
  for (const { discovery } of found) discovery.on('stale', () => (stale += 1))
  const before = registry.status().watches
  await pass(15_000)
  expect(stale).toBe(0)
  expect(registry.status().watches).toEqual(before)
  expect(proxy.log.join('\n')).not.toMatch(/unknown|unsupported|"level":"(error|panic|fatal)"/)
})

test.concurrent('behind grpc-proxy a key that was deleted is put back, and of two with one id the newer wins', async t => {
  const etcd = await startEtcd(t)
  const proxy = await grpcProxy(t, etcd)
  const service = { name: 'orders', host: '192.0.2.1', port: 8000 }
  const registry = openRegistry(t, proxy.endpoint)
  const others = ['a', 'b', 'c'].map(id => registry.register({ ...service, id }))
  const first = registry.register(service)
  await Promise.all([...others, first].map(registration => registration.ready()))
  const lost = new Promise(resolve => first.once('lost', resolve))
  await etcd.etcdctl('del', first.instance.key)
  expect(await lost).toBe('key-deleted')
  await until(() => first.state === 'registered')
  expect(await etcd.etcdctl('get', '--keys-only', first.instance.key)).toContain(first.instance.key)

  const newer = openRegistry(t, proxy.endpoint).register(service)
  await newer.ready()
  await until(() => first.state === 'conflict')
  await newer.deregister()
  await until(() => first.state === 'registered')
  expect(await etcd.etcdctl('get', '--keys-only', first.instance.key)).toContain(first.instance.key)
})

test.concurrent('a grpc-proxy that is killed, and one that freezes', async t => {
  const etcd = await startEtcd(t)
  const proxy = await grpcProxy(t, etcd)
  const writer = openWriter(t, etcd.endpoint)
  await writer.write([entry('orders', 'a'), entry('payments', 'a')])
  const registry = openRegistry(t, proxy.endpoint, { ttl: 60 })
  const registration = registry.register({ name: 'other', host: '192.0.2.1', port: 8000 })
  await registration.ready()
  const found = await Promise.all(['orders', 'payments'].map(name => discover(registry, name)))
  for (const { discovery } of found) await untilFresh(discovery)

  await proxy.kill()
  await Promise.all(found.map(({ discovery }) => until(() => discovery.stale)))
  await writer.write([entry('orders', 'b'), entry('payments', 'b')])
  await proxy.restart()
  for (const { witness } of found)
    await expectConverged(witness, etcd, `/services/${witness.discovery.name}/`)

  const stale = Promise.all(
    found.map(({ discovery }) => new Promise<Date>(resolve => discovery.once('stale', resolve))),
  )
  const frozenAt = Date.now()
  await proxy.freeze()
  for (const since of await stale) expect(since.getTime() - frozenAt).toBeLessThan(1500)
  await writer.write([entry('orders', 'c'), entry('payments', 'c')])
  proxy.thaw()
  for (const { witness } of found)
    await expectConverged(witness, etcd, `/services/${witness.discovery.name}/`)
  expect(registration.state).toBe('registered')
})
