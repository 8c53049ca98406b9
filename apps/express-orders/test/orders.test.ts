import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, expect, onTestFinished, test } from 'vitest'
import { type Running, running } from './running.ts'
import { type Behaviour, type Request, startService } from './service.ts'

let etcd: EtcdMember
beforeAll(async () => {
  etcd = await startEtcdBinary()
})
afterAll(() => etcd?.stop())

const keyboards = { sku: 'keyboard', quantity: 2 }
const reservation = { id: 'r1', amount: 9800, currency: 'EUR' }
const stocked: Behaviour = ({ method }) => (method === 'DELETE' ? [204, {}] : [201, reservation])
const paid: Behaviour = () => [201, { id: 'p1' }]
const declined: Behaviour = () => [402, { error: { code: 'PAYMENT_DECLINED', message: 'Too much.' } }]
const broken: Behaviour = () => 'reset'

/** Orders between these instances, all of which it knows. */
async function between(services: { inventory: Behaviour[]; payments: Behaviour[] }) {
  const start = (name: 'inventory' | 'payments') =>
    Promise.all(services[name].map(behave => startService(etcd.endpoint, name, behave)))
  const inventory = await start('inventory')
  const payments = await start('payments')
  const orders = await running({ hosts: etcd.endpoint, drainDelay: 0, logger: false })
  for (const name of ['inventory', 'payments'] as const) await known(orders, name, services[name].length)
  return { inventory, payments, ...orders }
}

async function known({ service }: Running, name: string, count: number) {
  const discovery = service.registry.discover(name)
  onTestFinished(() => discovery.close())
  await expect.poll(() => discovery.instances.length).toBe(count)
}

const to = (requests: Request[], method: string) => requests.filter(request => request.method === method)

test('an order reserves the stock, takes the payment, and can be looked up', async () => {
  const { call, inventory, payments } = await between({ inventory: [stocked], payments: [paid] })
  const { status, body } = await call('POST', '/orders', keyboards)
  expect(status).toBe(201)
  const { id } = body as { id: string }
  const order = { ...keyboards, id, amount: 9800, currency: 'EUR', reservationId: 'r1', paymentId: 'p1' }
  expect(body).toEqual(order)
  expect(inventory).toEqual([[{ method: 'POST', url: '/reservations', key: id, body: keyboards }]])
  const payment = { orderId: id, amount: 9800, currency: 'EUR' }
  expect(payments).toMatchObject([[{ method: 'POST', url: '/payments', body: payment }]])
  expect(await call('GET', `/orders/${id}`)).toMatchObject({ status: 200, body: order })
  expect(await call('GET', '/orders')).toMatchObject({ status: 200, body: [order] })
})

test('a declined payment gives the stock back, to the instance that reserved it', async () => {
  const { call, inventory } = await between({ inventory: [stocked, stocked], payments: [declined] })
  for (const _ of [1, 2, 3]) {
    expect(await call('POST', '/orders', keyboards)).toMatchObject({
      status: 402,
      body: { error: { code: 'PAYMENT_DECLINED', message: 'Too much.' } },
    })
  }
  for (const requests of inventory) {
    expect(to(requests, 'POST').length).toBeGreaterThan(0)
    expect(to(requests, 'DELETE').length).toBe(to(requests, 'POST').length)
  }
  expect(await call('GET', '/orders')).toMatchObject({ body: [] })
})

test('a call that fails is made once more on another instance, with the same key', async () => {
  const { call, inventory } = await between({ inventory: [broken, stocked], payments: [paid, broken] })
  const ids: string[] = []
  for (const _ of [1, 2, 3, 4]) {
    const { status, body } = await call('POST', '/orders', keyboards)
    expect(status).toBe(201)
    ids.push((body as { id: string }).id)
  }
  const [bad, good] = inventory as [Request[], Request[]]
  expect(good.map(({ key }) => key)).toEqual(ids)
  expect(bad.length).toBeGreaterThan(0)
  expect(ids).toEqual(expect.arrayContaining(bad.map(({ key }) => key)))
})

test('an order fails with 502 when the second call fails too, and gives its stock back', async () => {
  const { call, inventory, payments } = await between({ inventory: [stocked], payments: [broken, broken] })
  expect(await call('POST', '/orders', keyboards)).toMatchObject({
    status: 502,
    body: { error: { code: 'SERVICE_FAILED', message: '"payments" did not answer.' } },
  })
  expect(payments.map(({ length }) => length)).toEqual([1, 1])
  expect(inventory[0]!.map(({ method, url }) => `${method} ${url}`)).toEqual([
    'POST /reservations',
    'DELETE /reservations/r1',
  ])
})

test('what inventory refuses is refused to the client, and tried once only', async () => {
  const refuses: Behaviour = () => [409, { error: { code: 'OUT_OF_STOCK', message: 'None left.' } }]
  const { call, inventory, payments } = await between({ inventory: [refuses], payments: [paid] })
  expect(await call('POST', '/orders', keyboards)).toMatchObject({
    status: 409,
    body: { error: { code: 'OUT_OF_STOCK', message: 'None left.' } },
  })
  expect(inventory[0]).toHaveLength(1)
  expect(payments[0]).toHaveLength(0)
})

test('while a service is missing an order is answered with 503 and its name, and nothing is reserved', async () => {
  const { call, inventory } = await between({ inventory: [stocked], payments: [] })
  expect(await call('POST', '/orders', keyboards)).toEqual({
    status: 503,
    retryAfter: '1',
    body: {
      error: {
        code: 'SERVICE_UNAVAILABLE',
        message: 'No instance of "payments" is known.',
        service: 'payments',
      },
    },
  })
  expect(inventory[0]).toHaveLength(0)
})
