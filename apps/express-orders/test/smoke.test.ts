import { startEtcdBinary } from '@etcd-register/testing'
import { expect, onTestFinished, test } from 'vitest'
import { type AppProcess, startApp } from './app-process.ts'

const keyboard = { sku: 'keyboard', quantity: 1 }

/** Places orders, four at a time, until it is told to stop. */
function placeOrders({ call }: AppProcess) {
  let running = true
  let placed = 0
  const failures: unknown[] = []
  const work = async () => {
    while (running) {
      const { status, body } = await call('POST', '/orders', keyboard).catch(error => ({
        status: 0,
        body: error,
      }))
      if (status === 201) placed += 1
      else failures.push({ status, body })
    }
  }
  const workers = Promise.all([work(), work(), work(), work()])
  const stop = () => {
    running = false
    return workers
  }
  onTestFinished(() => void stop())
  return {
    failures,
    /** Resolves when so many more have been placed. */
    async more(count: number) {
      const goal = placed + count
      await expect.poll(() => placed).toBeGreaterThanOrEqual(goal)
    },
    stop,
  }
}

const reservations = ({ log }: AppProcess) => log.filter(({ req }) => req?.url === '/reservations').length

test('no order fails while an instance of inventory comes and another goes, and nothing is left behind', async () => {
  const etcd = await startEtcdBinary()
  onTestFinished(() => etcd.stop())
  const keys = async () => {
    const lines = await etcd.etcdctl('get', '--prefix', '--keys-only', '/')
    return lines.split('\n').filter(line => line !== '')
  }
  const [orders, inventory, payments] = await Promise.all(
    ['express-orders', 'koa-inventory', 'nest-payments'].map(name => startApp(name, etcd.endpoint)),
  )
  if (!orders || !inventory || !payments) throw new Error('three apps were asked for')
  const known = async () => ((await orders.call('GET', '/health')).body as { discovery: object }).discovery
  await expect.poll(known).toEqual({ inventory: { instances: 1 }, payments: { instances: 1 } })

  // One order passes through all three, and back.
  const { status, body } = await orders.call('POST', '/orders', keyboard)
  expect(status).toBe(201)
  const order = body as { id: string; paymentId: string }
  await expect.poll(() => reservations(inventory)).toBe(1)
  expect(await payments.call('GET', `/payments/${order.paymentId}`)).toMatchObject({
    body: { orderId: order.id },
  })
  expect(await payments.call('GET', `/payments/${order.paymentId}/order`)).toEqual({
    status: 200,
    body: order,
  })

  // Rolling: a second inventory comes, the first one goes.
  const placing = placeOrders(orders)
  await placing.more(20)
  const second = await startApp('koa-inventory', etcd.endpoint)
  await expect.poll(() => reservations(second)).toBeGreaterThan(10)
  expect(await inventory.terminate()).toBe(143)
  await placing.more(50)
  await placing.stop()
  expect(placing.failures).toEqual([])
  await expect.poll(known).toEqual({ inventory: { instances: 1 }, payments: { instances: 1 } })

  const rest = [orders, second, payments]
  expect(await Promise.all(rest.map(({ terminate }) => terminate()))).toEqual([143, 143, 143])
  expect(await keys()).toEqual([])
  expect(await etcd.etcdctl('lease', 'list')).toContain('found 0 leases')
  const all = [...rest, inventory]
  expect(all.flatMap(({ remains }) => remains())).toEqual([])
  // Not even a call that had to be tried again.
  expect(all.flatMap(({ log }) => log.filter(({ level }) => level >= 40))).toEqual([])
  expect(all.flatMap(({ noise }) => noise)).toEqual([])
}, 180_000)
