import { expect, test } from 'vitest'
import { discover, keepLog, openRegistry, startEtcd, startProxy } from '../support/read-side.ts'
import { until } from '../support/until.ts'

test('streams that die as soon as they are made are opened with backoff, and warned of once', async t => {
  const proxy = await startProxy(t, await startEtcd(t))
  const log = keepLog()
  const registry = openRegistry(t, proxy.endpoint, { logger: log })
  const { discovery } = await discover(registry, 'web')
  let drops = 0
  discovery.on('fresh', () => {
    drops += 1
    proxy.drop()
  })
  const begun = performance.now()
  proxy.drop()
  await until(() => drops >= 8, { within: 25_000 })
  // Eight waits of full jitter whose limits grow from 200 ms: 4 s on the average, and some ms where nobody waits.
  expect(performance.now() - begun).toBeGreaterThan(400)
  expect(log.of('warn').length).toBeLessThanOrEqual(1)
})
