import { plainFormat } from '@etcd-register/core'
import { describe, expect, it } from 'vitest'
import { leases, revision } from '../support/etcdctl-table.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import {
  aLink,
  anEtcd,
  aRegistry,
  type Cleanup,
  orders,
  registered,
  untilExactly,
} from '../support/write-side.ts'

forbidUnhandled()

/**
 * Two ways to one etcd. A write on the slow one times out and reaches etcd long after that, when whatever was written
 * on the fast one is done.
 */
async function aSlowAndAFastWay(test: Cleanup) {
  const etcd = await anEtcd(test)
  const [slow, fast] = [await aLink(test, etcd), await aLink(test, etcd)]
  await fast.cut()
  const endpoints = [slow.endpoint, fast.endpoint]
  // Long enough for a busy machine: what times out on the slow way before the write, or with it, keeps that from etcd.
  const registry = aRegistry(test, { endpoints }, { ttl: 20, requestTimeout: 2000, format: plainFormat() })
  const other = await registered(registry, orders({ name: 'other', port: 9000 }))
  return {
    etcd,
    registry,
    other,
    async writeLate(write: () => void) {
      await until(() => registry.status().etcd.connection === 'up')
      slow.delay(3_600_000)
      const writtenAt = performance.now()
      write()
      await until(() => registry.status().etcd.connection === 'down')
      return {
        fastAgain: () => fast.restore(),
        /** From now on the slow way delivers, in the pace in which it was sent: first the write, then that it was given up. */
        deliver: () => slow.delay(performance.now() - writtenAt),
      }
    },
  }
}

/** An instance whose key is out, since its format has no status, and whose write that brings it back is on its way. */
async function resumedLate(test: Cleanup) {
  const { writeLate, ...ways } = await aSlowAndAFastWay(test)
  const registration = await registered(ways.registry)
  await registration.suspend()
  const late = await writeLate(() => void registration.resume().catch(() => {}))
  const writes = async () => (await ways.etcd.requests()).Txn!
  return { ...ways, registration, late, writes }
}

/** It is out again meanwhile. */
async function suspendedMeanwhile(test: Cleanup) {
  const resumed = await resumedLate(test)
  const suspended = resumed.registration.suspend()
  await resumed.late.fastAgain()
  await suspended
  return resumed
}

describe.concurrent('a write reaches etcd after it timed out', () => {
  it('and after the instance left: etcd refuses it, since its lease is gone', async test => {
    const { etcd, other, registration, late, writes } = await resumedLate(test)
    const left = registration.deregister({ timeout: 20_000 })
    await late.fastAgain()
    await left
    expect(registration.state).toBe('closed')
    const before = await writes()

    late.deliver()
    await until(async () => (await writes()) > before, { what: 'the late write is refused' })
    await untilExactly(etcd, [other])
  })

  it('and after the instance gave up to wait for its leave: etcd refuses it', async test => {
    const { etcd, other, registration, late, writes } = await resumedLate(test)
    await registration.deregister({ timeout: 100 })
    await late.fastAgain()
    await until(async () => (await leases(etcd)).length === 1)
    const before = await writes()

    late.deliver()
    await until(async () => (await writes()) > before, { what: 'the late write is refused' })
    await untilExactly(etcd, [other])
  })

  it('and after the instance left and came again: it stays', async test => {
    const { etcd, registry, other, registration, late, writes } = await resumedLate(test)
    const left = registration.deregister({ timeout: 20_000 })
    await late.fastAgain()
    await left
    const second = await registered(registry, orders({ metadata: { a: '2' } }))
    const found = await untilExactly(etcd, [other, second])
    const before = await writes()

    late.deliver()
    await until(async () => (await writes()) > before, { what: 'the late write is refused' })
    expect(await untilExactly(etcd, [other, second])).toEqual(found)
  })

  it('and after the instance was suspended again: it stays out', async test => {
    const { etcd, other, registration, late } = await suspendedMeanwhile(test)
    const before = await revision(etcd)

    late.deliver()
    await until(async () => (await revision(etcd)) > before, { what: 'the late write is done' })
    await untilExactly(etcd, [other])
    expect(registration.state).toBe('suspended')

    await registration.resume()
    await untilExactly(etcd, [other, registration])
  })

  it('and after the instance was suspended again and left: etcd refuses it', async test => {
    const { etcd, other, registration, late, writes } = await suspendedMeanwhile(test)
    await registration.deregister()
    const before = await writes()

    late.deliver()
    await until(async () => (await writes()) > before, { what: 'the late write is refused' })
    await untilExactly(etcd, [other])
  })
})
