import { expect, test } from 'vitest'
import { running } from './running.ts'

const NOBODY = 'http://127.0.0.1:9'

test.each([
  ['no quantity', 400, 'INVALID_INPUT', 'POST', '/orders', { sku: 'keyboard' }],
  ['a quantity of 1.5', 400, 'INVALID_INPUT', 'POST', '/orders', { sku: 'keyboard', quantity: 1.5 }],
  ['no body', 400, 'INVALID_INPUT', 'POST', '/orders', undefined],
  ['a body that is not JSON', 400, 'BAD_REQUEST', 'POST', '/orders', '{bad'],
  ['an unknown order', 404, 'UNKNOWN_ORDER', 'GET', '/orders/x', undefined],
  ['an unknown path', 404, 'NOT_FOUND', 'GET', '/boats', undefined],
] as const)('%s is answered with %i and an error as JSON', async (_, status, code, method, path, body) => {
  const { call } = await running({ enabled: false, hosts: NOBODY, logger: false })
  const answer = await call(method, path, body)
  expect(answer).toMatchObject({ status, body: { error: { code, message: expect.any(String) } } })
})
