import { randomUUID } from 'node:crypto'
import { expect, test } from 'vitest'
import { running } from './running.ts'

const NOBODY = 'http://127.0.0.1:9'
const wanted = () => ({ orderId: randomUUID(), amount: 4900, currency: 'EUR' })

const payments = async () => (await running({ enabled: false, hosts: NOBODY, logger: false })).call

test('a payment is taken and can be looked up', async () => {
  const call = await payments()
  const order = wanted()
  const { status, body } = await call('POST', '/payments', { ...order, note: 'not ours' })
  expect(status).toBe(201)
  expect(body).toEqual({ ...order, id: expect.any(String) })
  expect(await call('GET', `/payments/${(body as { id: string }).id}`)).toMatchObject({ status: 200, body })
})

test('an order is paid once, however often it is asked for', async () => {
  const call = await payments()
  const order = wanted()
  const first = await call('POST', '/payments', order)
  expect(await call('POST', '/payments', order)).toEqual(first)
  const other = await call('POST', '/payments', { ...order, amount: 1 })
  expect(other).toMatchObject({ status: 409, body: { error: { code: 'PAID_OTHERWISE' } } })
})

test('an amount over the limit is declined', async () => {
  const call = await payments()
  const answer = await call('POST', '/payments', { ...wanted(), amount: 500_001 })
  expect(answer).toMatchObject({ status: 402, body: { error: { code: 'PAYMENT_DECLINED' } } })
})

test('invalid input is answered with what is wrong with it', async () => {
  const call = await payments()
  const { status, body } = await call('POST', '/payments', { ...wanted(), amount: 0.5, currency: 'XXX' })
  expect(status).toBe(400)
  expect(body).toEqual({
    error: {
      code: 'INVALID_INPUT',
      message: 'The input is not valid.',
      issues: expect.arrayContaining([
        { path: 'amount', message: 'amount must be an integer number' },
        { path: 'currency', message: 'currency must be one of the following values: EUR, USD' },
      ]),
    },
  })
})

test.each([
  ['a body that is not JSON', 400, 'BAD_REQUEST', 'POST', '/payments', '{bad'],
  ['an unknown payment', 404, 'UNKNOWN_PAYMENT', 'GET', '/payments/x', undefined],
  ['an unknown path', 404, 'NOT_FOUND', 'GET', '/boats', undefined],
] as const)('%s is answered with %i and an error as JSON', async (_, status, code, method, path, body) => {
  const call = await payments()
  const answer = await call(method, path, body)
  expect(answer).toMatchObject({ status, body: { error: { code, message: expect.any(String) } } })
})
