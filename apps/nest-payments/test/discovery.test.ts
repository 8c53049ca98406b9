import { createServer } from 'node:http'
import { attachServer, createRegistry } from '@etcd-register/nestjs'
import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { running } from './running.ts'

let etcd: EtcdMember
beforeAll(async () => {
  etcd = await startEtcdBinary()
})
afterAll(() => etcd?.stop())

test('it is registered while it listens, and ready while etcd is away', async () => {
  const { call, port } = await running({ hosts: etcd.endpoint, drainDelay: 0 })
  const health = async () => {
    const [ready, registry] = [await call('GET', '/health'), await call('GET', '/health/etcd')]
    return { ready: ready.status, etcd: registry.status }
  }
  await expect.poll(health).toEqual({ ready: 200, etcd: 200 })
  const keys = await etcd.etcdctl('get', '--prefix', '--keys-only', '/services/')
  expect(keys.trim()).toBe(`/services/payments/127.0.0.1:${port}`)

  await etcd.kill()
  await expect.poll(health).toEqual({ ready: 200, etcd: 503 })
  await etcd.restart()
  await expect.poll(health).toEqual({ ready: 200, etcd: 200 })
})

test('it is not ready once it is leaving, and serves on for the drain delay', async () => {
  const { call, close, service } = await running({ hosts: etcd.endpoint, drainDelay: 2000 })
  await service.current!.ready()
  const closed = close()
  await expect
    .poll(() => call('GET', '/health'), { interval: 10 })
    .toMatchObject({ status: 503, body: { details: { etcd: { status: 'down' } } } })
  expect((await call('GET', '/payments/x')).status).toBe(404)
  await closed
})

test('the order of a payment comes from an instance of orders, or 503 while none is known', async () => {
  const { call } = await running({ hosts: etcd.endpoint, drainDelay: 0 })
  const orderId = 'e4f7d3a8-8c21-4e37-9d41-6f1f0d1f2c3b'
  const { body } = await call('POST', '/payments', { orderId, amount: 1, currency: 'EUR' })
  const order = () => call('GET', `/payments/${(body as { id: string }).id}/order`)
  expect(await order()).toMatchObject({
    status: 503,
    retryAfter: '1',
    body: { error: { code: 'SERVICE_UNAVAILABLE', message: 'No instance of "orders" is known.' } },
  })

  const orders = createServer((request, response) => response.end(JSON.stringify({ url: request.url })))
  const registry = createRegistry({ hosts: etcd.endpoint, logger: false })
  const server = attachServer(orders, registry, { name: 'orders', drainDelay: 0 })
  onTestFinished(async () => {
    await server.shutdown()
    await registry.close()
  })
  orders.listen(0, '127.0.0.1')
  await expect.poll(order).toMatchObject({ status: 200, body: { url: `/orders/${orderId}` } })
})
