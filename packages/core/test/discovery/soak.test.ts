import { expect, test } from 'vitest'
import { soak } from '../support/soak.ts'

test('a few random faults, each of which ends with etcd, registrations and discoveries in agreement', async () => {
  const lines: string[] = []
  await soak({ minutes: 0.1, seed: Math.floor(Math.random() * 2 ** 32), say: line => lines.push(line) })
  expect(lines.length).toBeGreaterThan(0)
}, 180_000)
