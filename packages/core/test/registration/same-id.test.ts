import { plainFormat, type Registry, type RegistryOptions } from '@etcd-register/core'
import { describe, expect, it } from 'vitest'
import { aChild } from '../support/child.ts'
import { row, rows } from '../support/etcdctl-table.ts'
import { leaseOf } from '../support/lease-of.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import {
  aLink,
  anEtcd,
  aRegistry,
  type Cleanup,
  eventsOf,
  ORDERS_KEY,
  orders,
  registered,
  statusOf,
  untilExactly,
} from '../support/write-side.ts'

forbidUnhandled()

/** Two registries, as of two processes, both with the same instance; the older one was there first. */
async function anOlderAndANewer(test: Cleanup, ttl = 6) {
  const etcd = await anEtcd(test)
  const olderRegistry = aRegistry(test, etcd, { ttl })
  const link = await aLink(test, etcd)
  const newerRegistry = aRegistry(test, link, { ttl })
  const older = await registered(olderRegistry, orders({ version: 'older' }))
  const events = eventsOf(older)
  const newer = await registered(newerRegistry, orders({ version: 'newer' }))
  await until(() => older.state === 'conflict')
  return { etcd, link, older, newer, events, olderRegistry, newerRegistry }
}

const versionIn = (found: { value: string } | undefined) => JSON.parse(found!.value).version

describe.concurrent('two processes with one id', () => {
  it('the newer one wins, the older one says so once, and they never fight', async test => {
    const { etcd, older, newer, events, olderRegistry, newerRegistry } = await anOlderAndANewer(test)
    const [found] = await untilExactly(etcd, [newer])
    expect(versionIn(found)).toBe('newer')
    expect(events).toEqual(['conflict'])
    expect(olderRegistry.warnings).toEqual([
      expect.stringContaining('another registry of this process registered under'),
    ])
    expect(statusOf(olderRegistry, older).state).toBe('conflict')

    // Both live on, renew, and nobody writes.
    let renewals = 0
    newer.on('renewed', () => {
      renewals += 1
    })
    older.on('renewed', () => {
      renewals += 1
    })
    await until(() => renewals >= 6)
    expect(await rows(etcd)).toEqual([found])
    expect(events).toEqual(['conflict'])
    expect(olderRegistry.warnings).toHaveLength(1)
    expect(newerRegistry.warnings).toEqual([])
  })

  it('what is said of the newer one names it: another process, or another registry of this one', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd)
    const registration = await registered(registry, orders())
    const child = aChild(test, 'register.mjs', etcd.endpoint)
    await child.said('registered')
    await until(() => registration.state === 'conflict')
    const text = `another process registered under ${ORDERS_KEY}; this one stays out`
    expect(registry.warnings).toEqual([expect.stringContaining(text)])
    await expect(registration.update({ weight: 1 })).rejects.toThrow(/since another process registered there/)
    child.kill('SIGUSR2')
    await until(() => registration.state === 'registered')

    const other = aRegistry(test, etcd)
    await registered(other, orders())
    await until(() => registration.state === 'conflict')
    await expect(registration.update({ weight: 1 })).rejects.toThrow(/since another registry of this process/)

    // Another copy of the package is the same process.
    const { createRegistry } = (await import('../../dist/index.cjs' as string)) as {
      createRegistry: (options: RegistryOptions) => Registry
    }
    const copy = createRegistry({ hosts: etcd.endpoint, logger: false })
    test.onTestFinished(() => copy.close())
    await copy.register(orders()).ready()
    await until(() => other.warnings.length > 0)
    expect(other.warnings[0]).toContain('another registry of this process registered under')
  })

  it('an update of the older one is refused and not written', async test => {
    const { etcd, older, newer } = await anOlderAndANewer(test)
    const [found] = await untilExactly(etcd, [newer])
    await expect(older.update({ weight: 1 })).rejects.toMatchObject({ code: 'ERR_CONFLICT' })
    await expect(older.suspend()).rejects.toMatchObject({ code: 'ERR_CONFLICT' })
    await newer.update({ weight: 2 })
    const after = await row(etcd)
    expect(after).toMatchObject({ version: found!.version + 1 })
    expect(JSON.parse(after!.value)).toMatchObject({ version: 'newer', weight: 2, status: 'up' })
    expect(older.state).toBe('conflict')
  })

  it('the older one leaves without taking the key of the newer one with it', async test => {
    const { etcd, older, newer, events, olderRegistry } = await anOlderAndANewer(test)
    const found = await untilExactly(etcd, [newer])
    await older.deregister()
    expect(older.state).toBe('closed')
    expect(await rows(etcd)).toEqual(found)
    await olderRegistry.close()
    expect(await untilExactly(etcd, [newer])).toEqual(found)
    expect(events).toEqual(['conflict', 'closed'])
  })

  it('the older one comes back when the newer one leaves', async test => {
    const { etcd, older, newer, events } = await anOlderAndANewer(test)
    await older.update({ weight: 5 }).catch(() => {})
    await newer.deregister()
    const [found] = await untilExactly(etcd, [older])
    expect(JSON.parse(found!.value)).toMatchObject({ version: 'older', weight: 5 })
    expect(events).toEqual(['conflict', 'registered'])
  })

  it('the older one comes back suspended if it was suspended meanwhile', async test => {
    const { etcd, older, newer } = await anOlderAndANewer(test)
    await older.suspend().catch(() => {})
    await newer.deregister()
    await until(() => older.state === 'suspended')
    expect(JSON.parse((await row(etcd))!.value)).toMatchObject({ version: 'older', status: 'suspended' })
  })

  it('the older one comes back when the newer one crashes', async test => {
    const { etcd, link, older, newer, newerRegistry } = await anOlderAndANewer(test, 4)
    await link.cut()
    await untilExactly(etcd, [older])
    // And when the link of the newer one is mended, it is the one that stays out.
    await link.restore()
    await until(() => newer.state === 'conflict')
    const [found] = await untilExactly(etcd, [older])
    expect(versionIn(found)).toBe('older')
    expect(
      newerRegistry.warnings.filter(text => text.includes('another registry of this process')),
    ).toHaveLength(1)
  })

  it('when etcd loses its data, one of the two has the key and the other stays out', async test => {
    const { etcd, older, newer } = await anOlderAndANewer(test, 9)
    await etcd.restart({ wipe: true })
    const states = () => [older.state, newer.state].sort().join()
    const winner = () => (older.state === 'registered' ? older : newer)
    await until(async () => {
      const found = await row(etcd)
      return states() === 'conflict,registered' && versionIn(found) === winner().instance.version
    })
    const found = await untilExactly(etcd, [winner()])
    await new Promise(renewed => winner().once('renewed', renewed))
    expect(await rows(etcd)).toEqual(found)
    expect(states()).toBe('conflict,registered')
  })

  it('a stalled process that was replaced leaves its replacement alone', async test => {
    const etcd = await anEtcd(test)
    const link = await aLink(test, etcd)
    const stalled = await registered(aRegistry(test, link, { ttl: 4, requestTimeout: 500 }))
    link.freeze()
    await until(async () => (await rows(etcd)).length === 0)
    const replacement = await registered(aRegistry(test, etcd), orders({ version: 'new' }))
    const found = await untilExactly(etcd, [replacement])

    const left = stalled.deregister({ timeout: 5000 })
    await link.restore()
    await left
    expect(stalled.state).toBe('closed')
    expect(await untilExactly(etcd, [replacement])).toEqual(found)
  })

  it('a process that starts again before its old lease ended has the key, also after that', async test => {
    const etcd = await anEtcd(test)
    const link = await aLink(test, etcd)
    await registered(aRegistry(test, link, { ttl: 6 }), orders({ version: 'before' }))
    await link.cut()
    const again = await registered(aRegistry(test, etcd, { ttl: 6 }), orders({ version: 'after' }))
    const [found] = await untilExactly(etcd, [again])
    expect(found!.version).toBe(2)
    await until(async () => (await etcd.etcdctl('lease', 'list')).startsWith('found 1 '))
    expect(await untilExactly(etcd, [again])).toEqual([found])
  })
})

describe.concurrent('two registrations with one id in one registry', () => {
  it('the second is refused, and has the key after the first left', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd)
    const first = await registered(registry, orders({ version: 'first' }))
    const events = eventsOf(first)
    const second = registry.register(orders({ version: 'second' }))
    await expect(second.ready()).rejects.toMatchObject({ code: 'ERR_CONFLICT' })
    const failures = new Set<string | undefined>()
    await until(() => failures.add(registry.status().registrations[1]!.lastError?.at).size > 2)
    expect(second.state).toBe('registering')
    expect(versionIn(await row(etcd))).toBe('first')
    expect(registry.warnings).toEqual([expect.stringContaining('has a registration under')])
    expect(events).toEqual([])

    await first.deregister()
    const [found] = await untilExactly(etcd, [second])
    expect(versionIn(found)).toBe('second')
    expect(registry.warnings.slice(1)).toEqual(['registered: orders 192.0.2.1:8000'])
    await second.deregister()
    await untilExactly(etcd, [])
  })

  it('the second can leave while it waits for the first', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd)
    const first = await registered(registry)
    const found = await untilExactly(etcd, [first])
    const second = registry.register(orders())
    await expect(second.ready()).rejects.toMatchObject({ code: 'ERR_CONFLICT' })
    await second.deregister()
    expect(await untilExactly(etcd, [first])).toEqual(found)
  })

  it('the second, which had nothing, loses nothing with the lease', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd)
    const first = await registered(registry)
    const second = registry.register(orders())
    await expect(second.ready()).rejects.toMatchObject({ code: 'ERR_CONFLICT' })
    const [events, seconds] = [eventsOf(first), eventsOf(second)]
    await etcd.etcdctl('lease', 'revoke', leaseOf(registry).id!)
    await until(() => leaseOf(registry).losses === 1 && events.includes('registered'))
    expect(second.state).toBe('registering')
    expect(seconds).toEqual([])
  })

  it('of two that wait until the first has left, one has the key and the other is refused', async test => {
    const etcd = await anEtcd(test)
    const link = await aLink(test, etcd)
    const registry = aRegistry(test, link, { ttl: 20 })
    const other = await registered(registry, orders({ name: 'other' }))
    const first = await registered(registry)
    link.freeze('down')
    const left = first.deregister({ timeout: 5000 })
    const two = ['a', 'b'].map(version => registry.register(orders({ version })))
    const events = eventsOf(two[0]!)
    const outcomes = Promise.allSettled(two.map(registration => registration.ready()))
    await until(async () => JSON.parse((await row(etcd))!.value).status === 'leaving')
    await link.restore()
    await left
    expect((await outcomes).map(({ status }) => status)).toEqual(['fulfilled', 'rejected'])
    expect(two[1]!.state).toBe('registering')
    const [found] = await untilExactly(etcd, [two[0]!, other])
    expect(versionIn(found)).toBe('a')
    expect(events).toEqual(['registered'])
  })

  it('leaving and coming again at once, many times, ends with the last one', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd)
    const other = await registered(registry, orders({ name: 'other' }))
    let last = await registered(registry)
    for (let i = 0; i < 5; i += 1) {
      void last.deregister()
      last = registry.register(orders({ weight: i }))
    }
    await last.ready()
    const found = await untilExactly(etcd, [last, other])
    expect(JSON.parse(found[0]!.value).weight).toBe(4)
  })
})

it('with several formats, one that is in conflict over one key is out under all of them', async test => {
  const etcd = await anEtcd(test)
  const format: RegistryOptions['format'] = ['json', plainFormat({ singleKey: true, namespace: '/plain' })]
  const olderRegistry = aRegistry(test, etcd, { format })
  const older = await registered(olderRegistry)
  const events = eventsOf(older)
  const newer = await registered(aRegistry(test, etcd, { format }), orders({ port: 8001 }))
  await until(async () => (await rows(etcd, '')).length === 2)
  const found = await rows(etcd, '')
  expect(found).toMatchObject([{ key: '/plain/orders' }, { key: newer.instance.key }])
  expect(older.state).toBe('conflict')

  await newer.deregister()
  await until(() => older.state === 'registered')
  expect((await rows(etcd, '')).map(({ key }) => key)).toEqual(['/plain/orders', older.instance.key])
  expect(events).toEqual(['conflict', 'registered'])
  expect(olderRegistry.warnings).toEqual([
    expect.stringContaining('stays out until it is gone'),
    'registered: orders 192.0.2.1:8000',
  ])
})
