import { startEtcd } from '@etcd-register/testing'
import { expect, test } from 'vitest'
import { freePort } from '../src/free-port.ts'

const first = 20_000
const size = 1500

test('workers of a test runner have ports of their own, and none twice', async () => {
  const { VITEST_POOL_ID } = process.env
  expect(Number(VITEST_POOL_ID)).toBeGreaterThan(0)
  const ports = await Promise.all(Array.from({ length: 40 }, freePort))
  expect(new Set(ports).size).toBe(40)
  const part = Number(VITEST_POOL_ID) % 8
  for (const port of ports) expect(Math.floor((port - first) / size)).toBe(part)
})

test('an etcd in the process has one of them too, so that it is still free when it starts again', async () => {
  await using etcd = await startEtcd()
  expect(Math.floor((etcd.port - first) / size)).toBe(Number(process.env.VITEST_POOL_ID) % 8)
})

test('they do not run out in a process that has started thousands of them', async () => {
  for (let batch = 0; batch < 250; batch += 1) await Promise.all(Array.from({ length: 50 }, freePort))
})
