import { expect, it } from 'vitest'
import { Connection } from '../../src/etcd/client/connection.ts'
import { systemClock } from '../../src/etcd/support/clock.ts'
import type { WatchedKeys } from '../../src/etcd/watch/watched-keys.ts'
import type { Entry } from '../../src/formats/index.ts'
import { InstanceKeys } from '../../src/registration/instance-keys.ts'
import { resolveOptions } from '../../src/registry/options.ts'
import { revision } from '../support/etcdctl-table.ts'
import { aSessionKeeper } from '../support/session-keeper.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { anEtcd, type Cleanup } from '../support/write-side.ts'

forbidUnhandled()

/** The keys of an instance whose events are the test's. */
async function someKeys(test: Cleanup) {
  const etcd = await anEtcd(test)
  const options = resolveOptions({ hosts: etcd.endpoint, ttl: 10, logger: false }, {})
  const clock = systemClock
  const connection = new Connection(options, clock)
  test.onTestFinished(() => connection.close())
  const lease = aSessionKeeper(test, { connection, clock, ttl: 10 })
  await until(() => lease.current)

  // The watch may be on another member than the write, and ahead of it.
  let guard!: WatchedKeys
  const watchKey = (_key: string, keys: WatchedKeys) => {
    guard = keys
    return () => {}
  }
  const seen: unknown[] = []
  const keys = new InstanceKeys(
    { connection, watchKey },
    {
      listed() {},
      unclear: () => seen.push('unclear'),
      taken: ({ key }) => seen.push(key),
      changed: found => seen.push(found),
      unwatched: key => seen.push(`unwatched ${key}`),
      watched: () => {},
    },
  )
  const write = (...puts: Entry[]) => keys.write(puts, lease.current!.id, () => true)
  return { etcd, keys, lease, guard: () => guard, seen, write }
}

it('what is seen of a key before the answer to its write is here counts once that is', async test => {
  const { etcd, keys, guard, seen, write: put } = await someKeys(test)
  const write = (value: string) => put({ key: '/ours', value })
  await write('first')
  await keys.during(async () => {
    const at = await revision(etcd)
    guard().apply([{ type: 'delete', key: '/ours', revision: at + 2 }])
    await write('second')
    expect(await revision(etcd)).toBe(at + 1)
    expect(seen).toEqual([])
  })
  expect(seen).toEqual([undefined])
})

it('an event of our own write that comes after we deleted the key is no news', async test => {
  const { etcd, keys, lease, guard, seen, write } = await someKeys(test)
  const entry = { key: '/ours', value: 'first' }
  const event = (revision: number) => ({
    ...{ type: 'put' as const, key: '/ours', value: Buffer.from('first'), lease: lease.current!.id },
    ...{ revision, created: revision },
  })
  await write(entry)
  const first = await revision(etcd)
  await write()
  guard().apply([event(first)])
  expect(seen).toEqual([])
  // A write that was under way all the time and comes late is.
  guard().apply([event(first + 2)])
  expect(seen).toEqual(['unclear'])

  seen.length = 0
  await keys.withdraw()
  await write(entry)
  const second = await revision(etcd)
  await keys.withdraw()
  guard().apply([event(second)])
  expect(seen).toEqual([])
})

it('keys that have their lease in them are forgotten with leases that were lost before they were written', async test => {
  const { keys, lease, write } = await someKeys(test)
  for (let lost = 1; lost <= 132; lost += 1) {
    const entry = { key: `/ours/${lost}`, value: '' }
    const refused = keys.write([entry], String(lost), () => true)
    await expect(refused).rejects.toMatchObject({ code: 'ERR_ETCD_LEASE_NOT_FOUND' })
  }
  const key = `/ours/${lease.current!.id}`
  await write({ key, value: '' })
  expect(keys.names).toEqual([key])
})
