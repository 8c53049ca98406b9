// How tests of an app look with Vitest.
import { createRegistry, type Registry } from '@etcd-register/core'
import { type EmbeddedEtcd, startEtcd } from '@etcd-register/testing'
import { afterEach, beforeEach, expect, test } from 'vitest'

let etcd: EmbeddedEtcd
let registry: Registry

beforeEach(async () => {
  etcd = await startEtcd()
  registry = createRegistry({ hosts: etcd.endpoint, logger: false })
})

afterEach(async () => {
  await registry.close()
  await etcd.stop()
})

const orders = { name: 'orders', host: '10.0.0.5', port: 8000 }

test('a service that registers is found', async () => {
  await registry.register(orders).ready()
  const discovery = registry.discover('orders')
  await discovery.ready()
  expect(discovery.pick()?.endpoints).toEqual(['http://10.0.0.5:8000'])
})

test('a service whose lease ends comes back under another one', async () => {
  const registration = registry.register(orders)
  await registration.ready()
  const { id } = registry.status().registrations[0]!.lease // as etcdctl shows it: hexadecimal
  const back = new Promise(resolve => registration.once('registered', resolve))
  etcd.expireLease(BigInt(`0x${id}`))
  await back
  expect(registry.status().registrations[0]!.lease.id).not.toBe(id)
})

test('a first write that fails is tried again', async () => {
  etcd.failNext('Txn', 14)
  await registry.register(orders).ready()
  expect((await etcd.requests()).Txn).toBeGreaterThanOrEqual(2)
})

test('an etcd that is frozen holds up nobody for ever', async () => {
  const registration = registry.register(orders)
  await registration.ready()
  await etcd.freeze()
  await registration.deregister({ timeout: 100 })
  etcd.thaw()
})
