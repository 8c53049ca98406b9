import type { Registration } from '@etcd-register/core'
import { plainFormat } from '@etcd-register/core'
import { describe, expect, it } from 'vitest'
import type { ServiceRegistration } from '../../src/registration/registration.ts'
import { revision } from '../support/etcdctl-table.ts'
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
async function aSlowAndAFastWay(test: Cleanup, options: Parameters<typeof aRegistry>[2] = {}) {
  const etcd = await anEtcd(test)
  const [slow, fast] = [await aLink(test, etcd), await aLink(test, etcd)]
  await fast.cut()
  const endpoints = [slow.endpoint, fast.endpoint]
  // Long enough for a busy machine: what times out on the slow way before the write, or with it, keeps that from etcd.
  const registry = aRegistry(test, { endpoints }, { ttl: 20, requestTimeout: 2000, ...options })
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

/** In a format without a status, while the write of its key is still on its way. */
async function suspendedMeanwhile(test: Cleanup) {
  const { etcd, registry, other, writeLate } = await aSlowAndAFastWay(test, { format: plainFormat() })
  let registration!: Registration
  const late = await writeLate(() => {
    registration = registry.register(orders())
  })
  const suspended = registration.suspend()
  await late.fastAgain()
  await suspended
  return { etcd, other, registration, late }
}

describe.concurrent('a write reaches etcd after it timed out', () => {
  it('and after the instance left: it is gone all the same, though others keep the lease alive', async test => {
    const { etcd, registry, other, writeLate } = await aSlowAndAFastWay(test)
    let registration!: Registration
    const late = await writeLate(() => {
      registration = registry.register(orders())
    })
    const left = registration.deregister({ timeout: 1500 })
    await late.fastAgain()
    await left
    expect(registration.state).toBe('closed')
    const before = await revision(etcd)

    late.deliver()
    await until(async () => (await revision(etcd)) > before, { what: 'the late write is done' })
    const [after] = await untilExactly(etcd, [other])
    expect(after!.version).toBe(1)
  })

  it('and after the instance gave up to wait for its leave: it is gone all the same', async test => {
    const { etcd, registry, other, writeLate } = await aSlowAndAFastWay(test)
    let registration!: Registration
    const late = await writeLate(() => {
      registration = registry.register(orders())
    })
    await registration.deregister({ timeout: 100 })
    await late.fastAgain()
    await (registration as ServiceRegistration).retired
    const before = await revision(etcd)

    late.deliver()
    await until(async () => (await revision(etcd)) > before, { what: 'the late write is done' })
    await untilExactly(etcd, [other])
  })

  it('and after the instance left and came again: it stays', async test => {
    const { etcd, registry, other, writeLate } = await aSlowAndAFastWay(test)
    let first!: Registration
    const late = await writeLate(() => {
      first = registry.register(orders({ weight: 1 }))
    })
    const left = first.deregister({ timeout: 1500 })
    await late.fastAgain()
    await left
    const second = await registered(registry, orders({ weight: 2 }))
    const found = await untilExactly(etcd, [other, second])
    const writes = async () => (await etcd.requests()).Txn!
    const before = await writes()

    late.deliver()
    await until(async () => (await writes()) > before, { what: 'the late write is refused' })
    expect(await untilExactly(etcd, [other, second])).toEqual(found)
  })

  it('and after it was suspended in a format without a status: it stays out', async test => {
    const { etcd, other, registration, late } = await suspendedMeanwhile(test)
    const before = await revision(etcd)

    late.deliver()
    await until(async () => (await revision(etcd)) > before, { what: 'the late write is done' })
    await untilExactly(etcd, [other])
    expect(registration.state).toBe('suspended')

    await registration.resume()
    await untilExactly(etcd, [other, registration])
  })

  it('and after it was suspended in a format without a status and left: it is gone', async test => {
    const { etcd, other, registration, late } = await suspendedMeanwhile(test)
    await registration.deregister()
    const before = await revision(etcd)

    late.deliver()
    await until(async () => (await revision(etcd)) > before, { what: 'the late write is done' })
    await untilExactly(etcd, [other])
  })
})
