import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { running } from './running.ts'

let etcd: EtcdMember
beforeAll(async () => {
  etcd = await startEtcdBinary()
})
afterAll(() => etcd?.stop())

test('it is registered while it listens, and ready while etcd is away', async () => {
  const { call, port } = await running({ hosts: etcd.endpoint, drainDelay: 0, logger: false })
  const health = () => call('GET', '/health')
  const empty = { instances: 0 }
  await expect.poll(health).toMatchObject({
    status: 200,
    body: {
      state: 'serving',
      registration: 'registered',
      etcd: 'up',
      discovery: { inventory: empty, payments: empty },
    },
  })
  const keys = await etcd.etcdctl('get', '--prefix', '--keys-only', '/services/')
  expect(keys.trim()).toBe(`/services/orders/127.0.0.1:${port}`)

  await etcd.kill()
  const stale = { instances: 0, staleSince: expect.any(String) }
  await expect.poll(health).toMatchObject({
    status: 200,
    body: { state: 'serving', etcd: 'down', discovery: { inventory: stale, payments: stale } },
  })
  await etcd.restart()
  await expect.poll(health).toMatchObject({ status: 200, body: { etcd: 'up' } })
})

test('without a registry it is ready all the same', async () => {
  const { call } = await running({ enabled: false, logger: false })
  expect(await call('GET', '/health')).toMatchObject({
    status: 200,
    body: { state: 'off', registration: 'none' },
  })
})

test('it is not ready once it is leaving, and serves on for the drain delay', async () => {
  const { call, close, service } = await running({ hosts: etcd.endpoint, drainDelay: 2000, logger: false })
  await service.registration!.ready()
  close()
  await expect
    .poll(() => call('GET', '/health'), { interval: 10 })
    .toMatchObject({ status: 503, body: { state: expect.stringMatching(/^(leaving|draining)$/) } })
  expect((await call('GET', '/orders')).status).toBe(200)
})
