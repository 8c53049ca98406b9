import { expect, test } from 'vitest'
import { startCallBalancer } from '../support/call-balancer.ts'
import { keepLog, openRegistry, startEtcd, startProxy } from '../support/read-side.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { orders, registered } from '../support/write-side.ts'

forbidUnhandled()

test('behind a balancer that gives each third call to a frozen member no read fails and no lease is lost', async t => {
  const etcd = await startEtcd(t)
  const frozen = await startProxy(t, etcd)
  const balancer = await startCallBalancer(t, [etcd, frozen, etcd])
  const logger = keepLog()
  const registry = openRegistry(t, balancer.endpoint, { ttl: 10, logger })
  const registration = await registered(registry, orders())
  const events: string[] = []
  registration.on('state', state => events.push(state))
  frozen.freeze()
  for (let i = 0; i < 9; i += 1) expect(await registry.services()).toEqual(['orders'])
  expect(events).toEqual([])
  expect(logger.of('warn')).toEqual([])
})
