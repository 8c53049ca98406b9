import { expect, test } from 'vitest'
import { expectConverged } from '../support/oracle.ts'
import { valueFor } from '../support/raw-writer.ts'
import { discover, nextEvent, openRegistry, startEtcd } from '../support/read-side.ts'

test('a process whose event loop was blocked for 4 s keeps its watch', async t => {
  const etcd = await startEtcd(t)
  const registry = openRegistry(t, etcd.endpoint)
  const { discovery, witness } = await discover(registry, 'web')
  let stales = 0
  discovery.on('stale', () => {
    stales += 1
  })
  const changed = nextEvent(discovery, 'change')
  const written = etcd.etcdctl('put', '/services/web/a', valueFor('web', 'a'))
  const end = performance.now() + 4000
  while (performance.now() < end) Math.sqrt(end)
  await Promise.all([written, changed])
  await expectConverged(witness, etcd, '/services/web/')
  expect(stales).toBe(0)
  expect(registry.status().watches[0]).toMatchObject({ reconnects: 0, relists: 0 })
})
