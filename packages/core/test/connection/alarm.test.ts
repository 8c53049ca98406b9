import { expect, test } from 'vitest'
import { raiseAlarm } from '../support/alarm.ts'
import { rows } from '../support/etcdctl-table.ts'
import { keepLog, openRegistry } from '../support/read-side.ts'
import { until } from '../support/until.ts'
import { anEtcd, orders, registered } from '../support/write-side.ts'

test('the alarm CORRUPT is one warning that names it and the way out, and one line when it is over', async t => {
  const etcd = await anEtcd(t)
  const logger = keepLog()
  const registry = openRegistry(t, etcd.endpoint, { logger, ttl: 10 })
  const first = await registered(registry)
  await raiseAlarm(etcd, 'ACTIVATE')
  const other = registry.register(orders({ port: 9000 }))
  let renewals = 0
  first.on('renewed', () => {
    renewals += 1
  })
  // Reads and renewals go on meanwhile, and do not end the condition.
  await until(() => renewals === 2)
  await registry.services()
  expect([first.state, other.state]).toEqual(['registered', 'registering'])
  expect(registry.status().etcd).toMatchObject({
    connection: 'up',
    lastError: { code: 'ERR_ETCD_CORRUPT' },
  })
  expect(logger.of('warn')).toEqual([
    expect.stringMatching(/refused a lease \(corrupt cluster\).*etcdctl alarm disarm/),
  ])
  await raiseAlarm(etcd, 'DEACTIVATE')
  await other.ready()
  expect(logger.of('warn').slice(1)).toEqual([
    expect.stringContaining('takes writes again'),
    expect.stringContaining('registered: '),
  ])
})

test('a change that deletes a key first leaves it there while etcd is out of space', async t => {
  const etcd = await anEtcd(t)
  const logger = keepLog()
  const registry = openRegistry(t, etcd.endpoint, { format: 'go-micro', logger })
  const registration = await registered(registry, orders({ version: 'v1' }))
  const [before] = await rows(etcd)
  await raiseAlarm(etcd, 'ACTIVATE', 'NOSPACE')
  const updated = registration.update({ version: 'v2' })
  await until(() => logger.of('warn').length > 0)
  expect(await rows(etcd)).toEqual([before])
  await raiseAlarm(etcd, 'DEACTIVATE', 'NOSPACE')
  await updated
  expect(await rows(etcd)).toMatchObject([{ key: before!.key, version: 1, lease: before!.lease }])
})
