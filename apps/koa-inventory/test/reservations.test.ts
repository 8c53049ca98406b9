import { expect, test } from 'vitest'
import { running } from './running.ts'

const wanted = { sku: 'monitor', quantity: 3 }
const key = (name: string) => ({ 'idempotency-key': name })

async function inventory() {
  const { call } = await running({ enabled: false })
  const stock = async () => ((await call('GET', '/items/monitor')).body as { stock: number }).stock
  return { call, stock }
}

test('a reservation takes stock and says what it costs', async () => {
  const { call, stock } = await inventory()
  const { status, body } = await call('POST', '/reservations', wanted, key('a'))
  expect(status).toBe(201)
  expect(body).toEqual({ ...wanted, id: expect.any(String), amount: 179_700, currency: 'EUR' })
  expect(await stock()).toBe(97)
})

test('the same key reserves once, however often it is sent', async () => {
  const { call, stock } = await inventory()
  const first = await call('POST', '/reservations', wanted, key('a'))
  expect(await call('POST', '/reservations', wanted, key('a'))).toEqual(first)
  expect(await stock()).toBe(97)
  const other = await call('POST', '/reservations', { ...wanted, quantity: 4 }, key('a'))
  expect(other).toMatchObject({ status: 409, body: { error: { code: 'KEY_REUSED' } } })
})

test('a released reservation gives its stock back, once', async () => {
  const { call, stock } = await inventory()
  const { body } = await call('POST', '/reservations', wanted, key('a'))
  const { id } = body as { id: string }
  expect((await call('DELETE', `/reservations/${id}`)).status).toBe(204)
  expect((await call('DELETE', `/reservations/${id}`)).status).toBe(204)
  expect(await stock()).toBe(100)
})

test('nothing is reserved that is not there', async () => {
  const { call } = await inventory()
  const reserve = (sku: string, quantity: number) =>
    call('POST', '/reservations', { sku, quantity }, key(sku))
  expect(await reserve('cable', 1)).toMatchObject({ status: 409, body: { error: { code: 'OUT_OF_STOCK' } } })
  expect(await reserve('boat', 1)).toMatchObject({ status: 422, body: { error: { code: 'UNKNOWN_ITEM' } } })
})

test.each([
  ['no key', 400, 'INVALID_INPUT', 'POST', '/reservations', wanted, {}],
  ['a quantity of 0', 400, 'INVALID_INPUT', 'POST', '/reservations', { ...wanted, quantity: 0 }, key('a')],
  ['a body that is not JSON', 400, 'BAD_REQUEST', 'POST', '/reservations', '{bad', key('a')],
  ['an unknown item', 404, 'UNKNOWN_ITEM', 'GET', '/items/boat', undefined, {}],
  ['an unknown path', 404, 'NOT_FOUND', 'GET', '/boats', undefined, {}],
  ['an unknown method', 405, 'METHOD_NOT_ALLOWED', 'PUT', '/items', undefined, {}],
] as const)(
  '%s is answered with %i and an error as JSON',
  async (_, status, code, method, path, body, headers) => {
    const { call } = await inventory()
    const answer = await call(method, path, body, headers)
    expect(answer).toMatchObject({ status, body: { error: { code, message: expect.any(String) } } })
  },
)
