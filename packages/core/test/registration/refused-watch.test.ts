import { describe, expect, test } from 'vitest'
import { get, set, startHostileEtcd } from '../../../../fixtures/hostile-etcd/index.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { aLink, anEtcd, aRegistry, type Cleanup, registered } from '../support/write-side.ts'

forbidUnhandled()

/** Fields of WatchResponse: https://github.com/etcd-io/etcd/blob/main/api/etcdserverpb/rpc.proto */
const [CREATED, CANCELED, CANCEL_REASON] = [3, 4, 6]
const REASON = Buffer.from('etcdserver: revision of auth store is old')

/** A registration whose watch etcd refuses from now on, `most` times. */
async function refusedWatch(test: Cleanup, most: number) {
  const etcd = await anEtcd(test)
  let left = 0
  const hostile = await startHostileEtcd(etcd, {
    method: 'Watch',
    answer: message => {
      if (get(message, CREATED) !== 1n || left === 0) return message
      left -= 1
      return set(set(message, CANCELED, 1n), CANCEL_REASON, REASON)
    },
  })
  test.onTestFinished(() => hostile.stop())
  const link = await aLink(test, hostile)
  const registry = aRegistry(test, link)
  const registration = await registered(registry)
  left = most
  link.drop()
  return {
    registry,
    registration,
    etcd,
    refused: () => most - left,
    accept: () => {
      left = 0
    },
  }
}

describe.concurrent('etcd refuses to watch the keys of a registration, for a reason that can pass', () => {
  test('where it passes, nothing is said', async t => {
    const { registry, registration, etcd, refused } = await refusedWatch(t, 2)
    await until(() => refused() === 2)
    const repaired = new Promise(resolve => registration.once('lost', resolve))
    await until(() => registration.state === 'registered')
    await etcd.etcdctl('del', registration.instance.key)
    await repaired
    t.expect(registry.warnings.filter(line => line.includes('watch'))).toEqual([])
  })

  test('where it lasts, that is one warning, and one line when it is over', async t => {
    const { registry, accept } = await refusedWatch(t, Number.POSITIVE_INFINITY)
    const told = () => registry.warnings.filter(line => line.includes('watched again'))
    await until(() => told().length > 0)
    accept()
    await until(() => told().length > 1)
    t.expect(told()).toEqual([
      expect.stringMatching(
        /revision of auth store is old\). Until they are watched again, the keys of orders/,
      ),
      'the keys of orders 192.0.2.1:8000 are watched again',
    ])
  })
})
