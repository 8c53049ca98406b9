// How tests of an app look with Jest and CommonJS.
const { createRegistry } = require('@etcd-register/core')
const { startEtcd } = require('@etcd-register/testing')

let etcd
let registry

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
  expect(discovery.pick().endpoints).toEqual(['http://10.0.0.5:8000'])
})

test('a service that leaves is found no more', async () => {
  const registration = registry.register(orders)
  await registration.ready()
  const discovery = registry.discover('orders')
  await discovery.ready()
  const change = new Promise(resolve =>
    discovery.on('change', ({ instances }) => instances.length || resolve()),
  )
  await registration.deregister()
  await change
  expect(discovery.instances).toEqual([])
})
