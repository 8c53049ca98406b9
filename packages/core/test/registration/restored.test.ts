import { execFileSync } from 'node:child_process'
import { cpSync, rmSync } from 'node:fs'
import type { EtcdMember } from '@etcd-register/testing'
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

/** Where an etcd that runs keeps its store. */
function storeOf(etcd: EtcdMember): string {
  const args = execFileSync('ps', ['-o', 'args=', '-ww', '-p', String(etcd.pid)]).toString()
  return /--data-dir (.+?) --listen-client-urls /.exec(args)![1]!
}

it('an etcd restored from a backup has what was registered after the backup, under the lease from before it', async test => {
  const etcd = await anEtcd(test)
  const registry = aRegistry(test, etcd, { ttl: 10 })
  const before = await registered(registry)
  const store = storeOf(etcd)
  await etcd.kill()
  cpSync(store, `${store}.backup`, { recursive: true })
  await etcd.restart()

  const after = await registered(registry, orders({ port: 8001 }))
  for (let weight = 0; weight < 5; weight += 1) await after.update({ weight })
  await untilExactly(etcd, [before, after])
  const at = await revision(etcd)

  await etcd.kill()
  rmSync(store, { recursive: true })
  cpSync(`${store}.backup`, store, { recursive: true })
  await etcd.restart()
  expect(await revision(etcd)).toBeLessThan(at)
  await untilExactly(etcd, [before, after])
  expect(await leases(etcd)).toHaveLength(1)
  expect(registry.status().lease.losses).toBe(0)
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

it('whoever comes back to a store that was wiped stays out of what has its key there, until that is gone', async test => {
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
  await until(() => registration.state === 'conflict')
  expect(await rows(etcd)).toMatchObject([{ key: ORDERS_KEY, value: 'theirs', version: 1 }])

  // Guarded again.
  await until(async () => (await etcd.metrics()).get('etcd_debugging_mvcc_watcher_total') === 1)
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
  // Finds that the lease is lost; what the older one does with the next one it does before the update.
  const another = await registered(olderRegistry, orders({ name: 'another' }))
  expect(olderRegistry.status().lease.losses).toBe(1)
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
