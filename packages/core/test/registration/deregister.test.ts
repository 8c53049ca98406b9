import { setTimeout as pause } from 'node:timers/promises'
import { plainFormat } from '@etcd-register/core'
import { describe, expect, it } from 'vitest'
import { leases, revision, row, rows } from '../support/etcdctl-table.ts'
import { within } from '../support/timed.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import {
  aLink,
  anEtcd,
  aRegistry,
  eventsOf,
  ORDERS_KEY,
  orders,
  registered,
  untilExactly,
} from '../support/write-side.ts'

forbidUnhandled()

/** Far from the 3 s that a request may take, and from etcd's return; all time limits here are shorter. In ms. */
const IN_TIME = 1500

describe.concurrent('an instance leaves', () => {
  it('it announces that it leaves, deletes its key, and with the last one ends the lease', async test => {
    const etcd = await anEtcd(test)
    const registration = await registered(aRegistry(test, etcd))
    const events = eventsOf(registration)
    await registration.deregister()
    expect(await rows(etcd)).toEqual([])
    expect(await leases(etcd)).toEqual([])
    const beforeTheDelete = String((await revision(etcd)) - 1)
    const last = await etcd.etcdctl('get', ORDERS_KEY, '--print-value-only', '--rev', beforeTheDelete)
    expect(JSON.parse(last)).toMatchObject({ status: 'leaving' })
    expect(registration.state).toBe('closed')
    expect(events).toEqual(['closed'])
  })

  it('twice is once', async test => {
    const etcd = await anEtcd(test)
    const registration = await registered(aRegistry(test, etcd))
    const events = eventsOf(registration)
    await Promise.all([registration.deregister(), registration.deregister({ timeout: 1 })])
    const at = await revision(etcd)
    await registration.deregister()
    expect(await revision(etcd)).toBe(at)
    expect(events).toEqual(['closed'])
    await expect(registration.ready()).rejects.toMatchObject({ code: 'ERR_CLOSED' })
    await expect(registration.update({ weight: 1 })).rejects.toMatchObject({ code: 'ERR_CLOSED' })
    await untilExactly(etcd, [])
  })

  it('each caller has a bound of its own, and the longest one sees the key go', async test => {
    const etcd = await anEtcd(test)
    const registration = await registered(aRegistry(test, etcd, { ttl: 60 }))
    const events = eventsOf(registration)
    await etcd.freeze()
    let done = false
    const long = registration.deregister({ timeout: 40_000 }).then(() => {
      done = true
    })
    await within(IN_TIME, registration.deregister({ timeout: 400 }))
    expect(registration.state).toBe('closed')
    expect(done).toBe(false)
    etcd.thaw()
    await long
    expect(await rows(etcd)).toEqual([])
    expect(await leases(etcd)).toEqual([])
    expect(events).toEqual(['closed'])
  })

  it('before it wrote anything, while the key of an earlier one with its id cannot be deleted: at once', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { ttl: 60 })
    const staying = await registered(registry, orders({ port: 8001 }))
    const leaving = await registered(registry)
    await etcd.freeze()
    await leaving.deregister({ timeout: 100 })
    const next = registry.register(orders({ version: 'next' }))
    // It has found its address, and waits for its key.
    await until(() => next.instance.host === '192.0.2.1')
    await pause(100)
    await within(IN_TIME, next.deregister())
    expect(next.state).toBe('closed')
    const again = registry.register(orders({ version: 'again' }))
    etcd.thaw()
    await again.ready()
    const found = await untilExactly(etcd, [again, staying])
    expect(JSON.parse(found[0]!.value)).toMatchObject({ version: 'again' })
  })

  it('while its lease is being granted: it ends in time, and leaves neither key nor lease', async test => {
    const etcd = await anEtcd(test)
    const link = await aLink(test, etcd)
    const registry = aRegistry(test, link, { ttl: 60 })
    // Leases have a connection of their own, which is open from here on.
    await (await registered(registry)).deregister()
    link.freeze('down')
    const registration = registry.register(orders())
    await until(async () => (await leases(etcd)).length === 1)
    await within(IN_TIME, registration.deregister({ timeout: 500 }))
    expect(registration.state).toBe('closed')
    await link.restore()
    // Not by its end, which is far: the answer that comes late is answered with a revocation.
    await until(async () => (await leases(etcd)).length === 0)
    expect(await rows(etcd)).toEqual([])
  })

  it('while its key is being written: it ends in time, and leaves neither key nor lease', async test => {
    const etcd = await anEtcd(test)
    const link = await aLink(test, etcd)
    const registry = aRegistry(test, link, { ttl: 2, format: plainFormat() })
    const other = await registered(registry, orders({ port: 8001 }))
    const registration = await registered(registry)
    await registration.suspend()
    link.freeze('down')
    registration.resume().catch(() => {})
    await until(async () => (await rows(etcd)).length === 2)
    const both = [registration.deregister({ timeout: 500 }), other.deregister({ timeout: 500 })]
    await within(IN_TIME, Promise.all(both))
    await link.restore()
    await untilExactly(etcd, [])
    await until(async () => (await leases(etcd)).length === 0)
  })

  it.for(['is registered', 'is being written'])(
    'while its key %s: it stays closed, and no watch of it is left',
    async (when, test) => {
      const etcd = await anEtcd(test)
      const link = await aLink(test, etcd)
      const registry = aRegistry(test, link, { ttl: 10, format: plainFormat() })
      const watches = async () => (await etcd.metrics()).get('etcd_debugging_mvcc_watcher_total')
      await registered(registry, orders({ port: 8001 }))
      const registration = await registered(registry)
      await until(async () => (await watches()) === 2)
      if (when === 'is being written') {
        await registration.suspend()
        link.freeze('down')
        registration.resume().catch(() => {})
        await until(async () => (await rows(etcd)).length === 2)
      }
      const events = eventsOf(registration)
      await registration.deregister({ timeout: 100 })
      await link.restore()
      // A third one, written last, is the last to be watched.
      await registered(registry, orders({ port: 8002 }))
      await until(async () => (await watches()) === 2)
      expect(events).toEqual(['closed'])
      expect(registration.state).toBe('closed')
    },
  )

  it('while an update is under way that etcd has: that is done', async test => {
    const etcd = await anEtcd(test)
    const link = await aLink(test, etcd)
    const registration = await registered(aRegistry(test, link, { ttl: 10 }))
    link.freeze('down')
    const updated = registration.update({ weight: 5 })
    await until(async () => (await row(etcd))!.version === 2)
    const left = registration.deregister({ timeout: 5000 })
    await link.restore()
    await updated
    await left
    expect(await rows(etcd)).toEqual([])
  })

  it('while etcd is frozen: it ends in time, and the end of the lease finishes the work', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { ttl: 2 })
    const registration = await registered(registry)
    await etcd.freeze()
    await within(IN_TIME, registration.deregister({ timeout: 400 }))
    const staying = registry.warnings.filter(line => line.includes('has left, but its keys stay'))
    expect(staying).toEqual([expect.stringMatching(/^etcd .* orders 192\.0\.2\.1:8000 has left/)])
    expect(registration.state).toBe('closed')
    etcd.thaw()
    await untilExactly(etcd, [])
    await until(async () => (await leases(etcd)).length === 0)
  })

  it('while etcd is gone: it ends in time, and the end of the lease finishes the work', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { ttl: 2 })
    const registration = await registered(registry)
    await etcd.kill()
    await within(IN_TIME, registration.deregister({ timeout: 400 }))
    const staying = registry.warnings.filter(line => line.includes('has left, but its keys stay'))
    expect(staying).toEqual([expect.stringMatching(/^etcd .* orders 192\.0\.2\.1:8000 has left/)])
    await etcd.restart()
    await untilExactly(etcd, [])
    await until(async () => (await leases(etcd)).length === 0)
  })

  it('after it was lost: it ends in time, and does not come back', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { ttl: 2 })
    const registration = await registered(registry)
    await etcd.kill()
    await until(() => registration.state === 'lost')
    await within(IN_TIME, registration.deregister({ timeout: 400 }))
    await etcd.restart()
    const again = await registered(registry, orders({ port: 8001 }))
    await untilExactly(etcd, [again])
  })

  it.for(['frozen', 'gone'] as const)(
    'while etcd is %s and others keep the lease: its key goes as soon as etcd is back',
    async (how, test) => {
      const etcd = await anEtcd(test)
      const registry = aRegistry(test, etcd, { ttl: 10, requestTimeout: 500 })
      const leaving = await registered(registry)
      const staying = await registered(registry, orders({ port: 8001 }))
      const events = eventsOf(staying)

      if (how === 'frozen') await etcd.freeze()
      else await etcd.kill()
      await within(IN_TIME, leaving.deregister({ timeout: 700 }))
      expect(leaving.state).toBe('closed')
      if (how === 'frozen') etcd.thaw()
      else await etcd.restart()
      await untilExactly(etcd, [staying], { within: 6000 })
      expect(events).toEqual([])
      // An answer that came too late may have left one that nobody keeps.
      await until(async () => (await leases(etcd)).length === 1)
    },
  )

  it('what was written over one of its keys meanwhile stays, also under no lease, and the others go', async test => {
    const etcd = await anEtcd(test)
    const link = await aLink(test, etcd)
    const registry = aRegistry(test, link, { ttl: 10, format: ['grpc', 'json'] })
    await registered(registry, orders({ name: 'other' }))
    const others = await rows(etcd, '')
    const registration = await registered(registry)
    link.freeze()
    await etcd.etcdctl('put', registration.instance.key, 'theirs')
    const left = registration.deregister({ timeout: 5000 })
    await link.restore()
    await left
    const found = (await rows(etcd, '')).filter(({ key }) => !others.some(other => other.key === key))
    expect(found).toMatchObject([{ key: registration.instance.key, value: 'theirs', version: 2 }])
  })

  it('who registers under its key after that is left alone', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd)
    await registered(registry, orders({ port: 8001 }))
    const registration = await registered(registry)
    const discovery = registry.discover('orders')
    await discovery.ready()
    await registration.deregister()
    await until(() => discovery.instances.length === 1)
    await registered(aRegistry(test, etcd))
    const found = await row(etcd)
    await until(() => discovery.instances.length === 2)
    // What was done at the sight of it was done before this.
    await registered(registry, orders({ port: 8002 }))
    expect(await row(etcd)).toEqual(found)
  })

  it('a key that timed out on leaving goes, and the next one with its id waits for that', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { ttl: 10, requestTimeout: 500 })
    const staying = await registered(registry, orders({ port: 8001 }))
    const leaving = await registered(registry)
    await etcd.freeze()
    await leaving.deregister({ timeout: 300 })
    const next = registry.register(orders({ version: 'next' }))
    const events = eventsOf(next)
    etcd.thaw()
    await next.ready()
    const [found] = await untilExactly(etcd, [next, staying])
    expect(JSON.parse(found!.value)).toMatchObject({ version: 'next', status: 'up' })
    expect(found!.version).toBe(1)
    expect(events).toEqual(['registered'])
  })
})
