import { expect, it } from 'vitest'
import { leases, revision, row, rows } from '../support/etcdctl-table.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import {
  aLink,
  anEtcd,
  aRegistry,
  ORDERS_KEY,
  orders,
  registered,
  untilExactly,
} from '../support/write-side.ts'

forbidUnhandled()

it('an etcd restored from a backup has what was registered after the backup, whose lease it does not know', async test => {
  const etcd = await anEtcd(test)
  const registry = aRegistry(test, etcd, { ttl: 10 })
  const before = await registered(registry)
  const snapshot = await etcd.snapshot()

  const after = await registered(registry, orders({ port: 8001 }))
  for (let weight = 0; weight < 5; weight += 1) await after.update({ weight })
  await untilExactly(etcd, [before, after])
  const at = await revision(etcd)

  await etcd.restore(snapshot)
  expect(await revision(etcd)).toBeLessThan(at)
  await untilExactly(etcd, [before, after])
  expect(await leases(etcd)).toHaveLength(2)
  expect(registry.status().registrations.map(({ lease }) => lease.losses)).toEqual([0, 1])
})

it('whoever leaves a store that was wiped leaves alone what has its key there, even at the same revision', async test => {
  const etcd = await anEtcd(test)
  const link = await aLink(test, etcd)
  const registration = await registered(aRegistry(test, link, { ttl: 60 }))
  const modRevision = async () => (await row(etcd))?.modRevision
  const at = await modRevision()

  await link.cut()
  await etcd.restart({ wipe: true })
  const lease = /lease (\w+) granted/.exec(await etcd.etcdctl('lease', 'grant', '60'))![1]!
  await etcd.etcdctl('put', ORDERS_KEY, 'theirs', `--lease=${lease}`)
  expect(await modRevision()).toBe(at)

  const left = registration.deregister()
  await link.restore()
  await left
  expect(await rows(etcd)).toMatchObject([{ key: ORDERS_KEY, value: 'theirs' }])
})

it('whoever comes back to a store that was wiped takes its key back once, and stays out of it when it is taken again', async test => {
  const etcd = await anEtcd(test)
  const link = await aLink(test, etcd)
  for (let i = 0; i < 5; i += 1) await etcd.etcdctl('put', '/elsewhere', String(i))
  const registration = await registered(aRegistry(test, link, { ttl: 60 }))
  const before = (await row(etcd, ORDERS_KEY))!.modRevision

  await link.cut()
  await etcd.restart({ wipe: true })
  const lease = /lease (\w+) granted/.exec(await etcd.etcdctl('lease', 'grant', '60'))![1]!
  await etcd.etcdctl('put', ORDERS_KEY, 'theirs', `--lease=${lease}`)
  await link.restore()
  await until(async () => (await row(etcd))?.value !== 'theirs')
  await untilExactly(etcd, [registration])

  // Guarded again.
  await until(async () => (await etcd.metrics()).get('etcd_debugging_mvcc_watcher_total') === 1)
  await etcd.etcdctl('put', ORDERS_KEY, 'theirs', `--lease=${lease}`)
  await until(() => registration.state === 'conflict')
  expect(await rows(etcd)).toMatchObject([{ key: ORDERS_KEY, value: 'theirs', version: 3 }])
  await etcd.etcdctl('del', ORDERS_KEY)
  expect(await revision(etcd)).toBeLessThan(before)
  await untilExactly(etcd, [registration])
})

it('whoever stayed out before the store was wiped stays out after it', async test => {
  const etcd = await anEtcd(test)
  const link = await aLink(test, etcd)
  for (let i = 0; i < 5; i += 1) await etcd.etcdctl('put', '/elsewhere', String(i))
  const olderRegistry = aRegistry(test, link, { format: 'grpc', ttl: 60 })
  const older = await registered(olderRegistry, orders({ weight: 0 }))
  const newer = await registered(aRegistry(test, etcd, { format: 'grpc', ttl: 60 }))
  await older.update({ weight: 100 }).catch(() => {})
  expect(older.state).toBe('conflict')

  await link.cut()
  await etcd.restart({ wipe: true })
  await until(async () => (await rows(etcd, 'orders/')).length === 1)
  const found = await untilExactly(etcd, [newer], { prefix: 'orders/' })
  await link.restore()
  // What the older one does at the sight of the empty store it does before the update.
  const another = await registered(olderRegistry, orders({ name: 'another' }))
  await another.update({ weight: 50 })
  expect(await rows(etcd, 'orders/')).toEqual(found)
  expect(older.state).toBe('conflict')
})

it('whoever stayed out before the store was wiped is back after it, if nobody else is', async test => {
  const etcd = await anEtcd(test)
  const [link, cut] = [await aLink(test, etcd), await aLink(test, etcd)]
  for (let i = 0; i < 5; i += 1) await etcd.etcdctl('put', '/elsewhere', String(i))
  const older = await registered(aRegistry(test, link, { ttl: 60 }))
  await registered(aRegistry(test, cut, { ttl: 60 }))
  await until(() => older.state === 'conflict')

  await Promise.all([link.cut(), cut.cut()])
  await etcd.restart({ wipe: true })
  await link.restore()
  await untilExactly(etcd, [older])
})
