import { expect, it } from 'vitest'
import { systemClock } from '../../src/clock.ts'
import { Connection } from '../../src/etcd/connection.ts'
import type { WatchedKeys } from '../../src/etcd/key-value.ts'
import { InstanceKeys } from '../../src/instance-keys.ts'
import { LeaseKeeper } from '../../src/lease.ts'
import { resolveOptions } from '../../src/options.ts'
import { RetiredKeys } from '../../src/retired-keys.ts'
import { revision } from '../support/etcdctl-table.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { anEtcd } from '../support/write-side.ts'

forbidUnhandled()

it('what is seen of a key before the answer to its write is here counts once that is', async test => {
  const etcd = await anEtcd(test)
  const options = resolveOptions({ hosts: etcd.endpoint, ttl: 10, logger: false }, {})
  const clock = systemClock
  const connection = new Connection(options, clock)
  test.onTestFinished(() => connection.close())
  const lease = new LeaseKeeper({ connection, clock, logger: options.logger, ttl: 10 })
  const user = { held() {}, lost() {}, failed() {}, renewed() {} }
  lease.acquire(user)
  await until(() => lease.current)

  // The watch may be on another member than the write, and ahead of it.
  let guard!: WatchedKeys
  const watchKey = (_key: string, keys: WatchedKeys) => {
    guard = keys
    return () => {}
  }
  const retired = new RetiredKeys({ connection, lease, clock, watchKey })
  const seen: unknown[] = []
  const keys = new InstanceKeys(
    { connection, lease, watchKey, retired },
    { unclear: () => seen.push('unclear'), taken: key => seen.push(key), changed: found => seen.push(found) },
  )
  const write = (value: string) => keys.write([{ key: '/ours', value }], lease.current!.id, () => true)
  await write('first')
  await keys.during(async () => {
    const at = await revision(etcd)
    guard.apply([{ type: 'delete', key: '/ours', revision: at + 2 }])
    await write('second')
    expect(await revision(etcd)).toBe(at + 1)
    expect(seen).toEqual([])
  })
  expect(seen).toEqual([undefined])
  await lease.release(user)
})
