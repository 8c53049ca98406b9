import { expect, it } from 'vitest'
import { rows } from '../support/etcdctl-table.ts'
import { leaseOf } from '../support/lease-of.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { anEtcd, aRegistry, orders, registered } from '../support/write-side.ts'

forbidUnhandled()

it('an etcd that is full is told of once, keeps who is there, and takes the others as soon as there is room', async test => {
  const etcd = await anEtcd(test, { quotaBytes: 400_000 })
  const registry = aRegistry(test, etcd, { ttl: 15 })
  const there = await registered(registry)
  const leaver = await registered(registry, orders({ port: 8003 }))
  const large = 'x'.repeat(50_000)
  for (let i = 0, full = false; !full && i < 20; i += 1) {
    full = await etcd.etcdctl('put', `/large/${i}`, large).then(
      () => false,
      () => true,
    )
  }
  const second = registry.register(orders({ port: 8001 }))
  const others = aRegistry(test, etcd, { ttl: 15 })
  const third = others.register(orders({ port: 8002 }))
  await until(() => registry.warnings.length > 0 && others.warnings.length > 0)
  // A delete needs no room, so that it works says nothing of writes.
  await leaver.deregister()
  expect(await rows(etcd, leaver.instance.key)).toEqual([])
  expect(registry.warnings).toHaveLength(1)
  expect(registry.status().registrations).toMatchObject([{ state: 'registered' }, { state: 'registering' }])
  const lease = leaseOf(registry)
  await until(() => leaseOf(registry).expiresIn! > lease.expiresIn!)

  const revision = /"revision":(\d+)/.exec(await etcd.etcdctl('get', '/', '-w', 'json'))![1]!
  await etcd.etcdctl('del', '--prefix', '/large/')
  await etcd.etcdctl('compact', String(Number(revision) + 1))
  await etcd.etcdctl('defrag')
  await etcd.etcdctl('alarm', 'disarm')
  await Promise.all([second.ready(), third.ready()])
  expect(await rows(etcd)).toHaveLength(3)
  expect(there.state).toBe('registered')
  const warning = expect.stringMatching(
    /refused .*database space exceeded.*etcdctl alarm disarm.* Retrying\./,
  )
  const over = expect.stringMatching(/takes writes again$/)
  expect(registry.warnings).toEqual([warning, over, 'registered: orders 192.0.2.1:8001'])
  expect(others.warnings).toEqual([warning, over, 'registered: orders 192.0.2.1:8002'])
})
