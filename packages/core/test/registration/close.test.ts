import { describe, expect, it } from 'vitest'
import { aChild } from '../support/child.ts'
import { leases, rows } from '../support/etcdctl-table.ts'
import { within } from '../support/timed.ts'
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

describe.concurrent('a registry is closed', () => {
  it('nothing of it is left in etcd: no key, no lease, no stream', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd)
    const registrations = Array.from({ length: 10 }, (_, i) => registry.register(orders({ port: 8000 + i })))
    const discovery = registry.discover('orders')
    await Promise.all([discovery.ready(), ...registrations.map(registration => registration.ready())])
    await untilExactly(etcd, registrations)

    await registry.close()
    expect(await rows(etcd)).toEqual([])
    expect(await leases(etcd)).toEqual([])
    await until(async () => (await etcd.openStreams('LeaseKeepAlive')) === 0)
    await until(async () => (await etcd.openStreams('Watch')) === 0)
    for (const { state } of registrations) expect(state).toBe('closed')
    expect(registry.status()).toMatchObject({ registrations: [] })
  })

  it('twice is once, and nothing can be registered after it', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd)
    await registered(registry)
    await Promise.all([registry.close(), registry.close()])
    await registry.close()
    expect(() => registry.register(orders())).toThrow(expect.objectContaining({ code: 'ERR_CLOSED' }))
    await untilExactly(etcd, [])
  })

  it('one that was never used closes at once', async test => {
    const registry = aRegistry(test, { endpoint: 'http://127.0.0.1:1' })
    await within(100, registry.close())
  })

  it('right after register(), it leaves nothing either', async test => {
    const etcd = await anEtcd(test)
    // Not by its end: that is far.
    const registry = aRegistry(test, etcd, { ttl: 60 })
    registry.register(orders())
    await registry.close()
    await until(async () => (await leases(etcd)).length === 0)
    expect(await rows(etcd)).toEqual([])
  })

  it('with etcd frozen, it ends within its bound, and the end of the lease finishes the work', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { ttl: 2 })
    const registrations = [await registered(registry), await registered(registry, orders({ port: 8001 }))]
    await etcd.freeze()
    await within(3500, registry.close())
    for (const { state } of registrations) expect(state).toBe('closed')
    etcd.thaw()
    await untilExactly(etcd, [])
    await until(async () => (await leases(etcd)).length === 0)
  })

  it.for([1, 2])(
    'behind deregister() of %i that wait longer, it ends within its own bound, and they with it',
    async (count, test) => {
      const etcd = await anEtcd(test)
      const registry = aRegistry(test, etcd, { ttl: 2 })
      const services = [orders(), orders({ port: 8001 })].slice(0, count)
      const registrations = await Promise.all(services.map(service => registered(registry, service)))
      await etcd.freeze()
      const left = registrations.map(registration => registration.deregister({ timeout: 20_000 }))
      await within(3500, registry.close())
      for (const { state } of registrations) expect(state).toBe('closed')
      await within(1000, Promise.all(left))
      const told = registry.warnings.filter(line => /are deleted|stay/.test(line))
      expect(told).toEqual(services.map(() => expect.stringContaining('has left, but its keys stay')))
      etcd.thaw()
      await untilExactly(etcd, [])
    },
  )

  it('with a link that swallows everything, it ends within its bound', async test => {
    const etcd = await anEtcd(test)
    const link = await aLink(test, etcd)
    link.freeze()
    const registry = aRegistry(test, link)
    registry.register(orders())
    await within(3500, registry.close())
  })
})

describe.concurrent('a process with a registration', () => {
  it('ends by itself after close(), with exit code 0', async test => {
    const etcd = await anEtcd(test)
    const child = aChild(test, 'register.mjs', etcd.endpoint)
    await child.said('registered')
    child.kill('SIGUSR2')
    expect(await child.ended).toBe(0)
    expect(child.lines).toEqual(['waiting', 'registered', 'closed', 'done'])
    await untilExactly(etcd, [])
    expect(await leases(etcd)).toEqual([])
  })

  it('that is not enabled, and discovers, ends by itself after its server', async test => {
    const etcd = await anEtcd(test)
    const child = aChild(test, 'disabled.mjs', etcd.endpoint)
    await child.said('discovers')
    child.kill('SIGHUP')
    expect(await child.ended).toBe(0)
  })

  it('ends by itself after close() with etcd frozen', async test => {
    const etcd = await anEtcd(test)
    const child = aChild(test, 'register.mjs', etcd.endpoint)
    await child.said('registered')
    await etcd.freeze()
    child.kill('SIGUSR2')
    expect(await child.ended).toBe(0)
    // The client library waits up to a second for a connection that is being made.
    expect(child.lines).toContain('done')
    for (const late of ['close() takes long', '1500 ms later']) expect(child.lines).not.toContain(late)
  })

  it('ends by itself after close() with etcd never there', async test => {
    const child = aChild(test, 'register.mjs', 'http://127.0.0.1:1')
    await child.said('waiting')
    child.kill('SIGUSR2')
    expect(await child.ended).toBe(0)
    const lines = child.lines.filter(line => line !== '1000 ms later')
    expect(lines).toEqual(['waiting', 'closed', 'done'])
  })

  it('is not ended by an outage, and is registered again after it', async test => {
    const etcd = await anEtcd(test)
    const child = aChild(test, 'register.mjs', etcd.endpoint)
    await child.said('registered')
    await etcd.kill()
    await child.said('lost')
    expect(child.running).toBe(true)
    await etcd.restart()
    await child.said('registered', 2)
    expect(await rows(etcd)).toMatchObject([{ key: ORDERS_KEY }])
    child.kill('SIGUSR2')
    expect(await child.ended).toBe(0)
    await untilExactly(etcd, [])
  })

  it('is registered once more after it was stopped for longer than the TTL', async test => {
    const etcd = await anEtcd(test)
    const child = aChild(test, 'register.mjs', etcd.endpoint)
    await child.said('registered')
    child.kill('SIGSTOP')
    await until(async () => (await rows(etcd)).length === 0)
    child.kill('SIGCONT')
    await child.said('registered', 2)
    child.kill('SIGUSR2')
    expect(await child.ended).toBe(0)
    expect(child.lines).toEqual(['waiting', 'registered', 'lost', 'registered', 'closed', 'done'])
  })

  it('that was stopped and replaced stays out when it goes on, and leaves its replacement alone', async test => {
    const etcd = await anEtcd(test)
    const child = aChild(test, 'register.mjs', etcd.endpoint, 'one')
    await child.said('registered')
    child.kill('SIGSTOP')
    const replacement = await registered(aRegistry(test, etcd), orders({ id: 'one' }))
    const found = await untilExactly(etcd, [replacement])
    child.kill('SIGCONT')
    await child.said('conflict')
    child.kill('SIGUSR2')
    expect(await child.ended).toBe(0)
    expect(await untilExactly(etcd, [replacement])).toEqual(found)
  })

  it('is deregistered one TTL after it crashed', async test => {
    const etcd = await anEtcd(test)
    const child = aChild(test, 'register.mjs', etcd.endpoint)
    await child.said('registered')
    const discovery = aRegistry(test, etcd).discover('orders')
    await until(() => discovery.instances.length === 1)
    const gone = new Promise(resolve => discovery.once('change', resolve))
    child.kill('SIGKILL')
    expect(await child.ended).toBe('SIGKILL')
    await within(5500, gone)
    await untilExactly(etcd, [])
  })
})
