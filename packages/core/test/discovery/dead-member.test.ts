import { expect, test } from 'vitest'
import { within } from '../support/timed.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { anEtcd, aRegistry } from '../support/write-side.ts'

forbidUnhandled()

test('a member that is away is passed over: the request is asked of the other one, at once, unnoticed', async t => {
  const etcd = await anEtcd(t)
  // Whose first loading takes its time.
  await import('etcd3')
  // Which of the two is asked first is a matter of chance.
  for (let round = 0; round < 16; round += 1) {
    const registry = aRegistry(t, { endpoints: ['http://127.0.0.1:1', etcd.endpoint] })
    await within(1000, registry.services())
    expect(registry.warnings).toEqual([])
    expect(registry.status().etcd).toMatchObject({ connection: 'up', lastError: undefined })
  }
})
