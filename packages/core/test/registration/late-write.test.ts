import type { Registration } from '@etcd-register/core'
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
async function aSlowAndAFastWay(test: Cleanup, options: Parameters<typeof aRegistry>[2] = {}) {
  const etcd = await anEtcd(test)
  const [slow, fast] = [await aLink(test, etcd), await aLink(test, etcd)]
  await fast.cut()
  const endpoints = [slow.endpoint, fast.endpoint]
  const registry = aRegistry(test, { endpoints }, { ttl: 10, requestTimeout: 300, ...options })
  const other = await registered(registry, orders({ name: 'other', port: 9000 }))
  return {
    etcd,
    registry,
    other,
    async writeLate(write: () => void) {
      slow.delay(2000)
      write()
      await until(() => registry.status().etcd.connection === 'down')
      const sentAt = performance.now()
      return {
        fastAgain: () => fast.restore(),
        arrived: async () => {
          await until(() => performance.now() - sentAt > 2200)
          await slow.restore()
        },
      }
    },
  }
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

    await late.arrived()
    expect(await revision(etcd), 'the late write was done').toBeGreaterThan(before)
    await untilExactly(etcd, [other], { within: 3000 })
    expect(await leases(etcd)).toHaveLength(1)
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

    await late.arrived()
    expect(await untilExactly(etcd, [other, second])).toEqual(found)
  })

  it('and after it was suspended in a format without a status: it stays out', async test => {
    const { etcd, registry, other, writeLate } = await aSlowAndAFastWay(test, { format: plainFormat() })
    let registration!: Registration
    const late = await writeLate(() => {
      registration = registry.register(orders())
    })
    const suspended = registration.suspend()
    await late.fastAgain()
    await suspended
    const before = await revision(etcd)

    await late.arrived()
    expect(await revision(etcd), 'the late write was done').toBeGreaterThan(before)
    await untilExactly(etcd, [other], { within: 3000 })
    expect(registration.state).toBe('suspended')

    await registration.resume()
    await untilExactly(etcd, [other, registration])
  })
})
