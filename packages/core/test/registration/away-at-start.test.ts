import { describe, expect, it } from 'vitest'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import {
  aLink,
  anEtcd,
  aRegistry,
  eventsOf,
  ORDERS_KEY,
  orders,
  untilExactly,
} from '../support/write-side.ts'

forbidUnhandled()

describe.concurrent('etcd is away when the app starts', () => {
  it('the app is not delayed, reads one warning for all tries, and is registered when etcd comes', async test => {
    const etcd = await anEtcd(test)
    await etcd.kill()
    const registry = aRegistry(test, etcd)

    // Of the processor, which is all that it can take: it returns at once.
    const before = process.cpuUsage()
    const registration = registry.register(orders())
    const { user, system } = process.cpuUsage(before)
    expect((user + system) / 1000).toBeLessThan(50)
    expect(registration.state).toBe('registering')
    expect(registration.instance.key).toBe(ORDERS_KEY)

    const events = eventsOf(registration)
    const failures = new Set<string | undefined>()
    await until(() => failures.add(registry.status().etcd.lastError?.at).size > 4)
    expect(registry.warnings).toEqual([expect.stringContaining('cannot be reached')])

    await etcd.restart()
    await registration.ready()
    await untilExactly(etcd, [registration])
    expect(events).toEqual(['registered'])
    expect(registry.warnings.slice(1)).toEqual([
      expect.stringMatching(/answers again$/),
      'registered: orders 192.0.2.1:8000',
    ])
  })

  it('an etcd that accepts connections and never answers is one warning, and no delay', async test => {
    const etcd = await anEtcd(test)
    const link = await aLink(test, etcd)
    link.freeze()
    const registry = aRegistry(test, link, { requestTimeout: 300 })
    const registration = registry.register(orders())

    const failures = new Set<string | undefined>()
    await until(() => failures.add(registry.status().etcd.lastError?.at).size > 4)
    expect(registry.warnings).toEqual([expect.stringMatching(/did not answer|cannot be reached/)])

    await link.restore()
    await registration.ready()
    await untilExactly(etcd, [registration])
  })

  it('ready() rejects when its signal aborts, and the registration goes on trying', async test => {
    const etcd = await anEtcd(test)
    await etcd.kill()
    const registration = aRegistry(test, etcd).register(orders())

    const impatient = new AbortController()
    const ready = registration.ready({ signal: impatient.signal })
    const cause = new Error('enough')
    impatient.abort(cause)
    await expect(ready).rejects.toMatchObject({ code: 'ERR_ABORTED', cause })
    await expect(registration.ready({ signal: AbortSignal.timeout(100) })).rejects.toMatchObject({
      cause: { name: 'TimeoutError' },
    })
    await expect(registration.ready({ signal: AbortSignal.abort() })).rejects.toMatchObject({
      cause: { name: 'AbortError' },
    })

    await etcd.restart()
    await registration.ready()
    await untilExactly(etcd, [registration])
  })

  it('ready() rejects when the registration is given up before etcd came', async test => {
    const etcd = await anEtcd(test)
    await etcd.kill()
    const registration = aRegistry(test, etcd).register(orders())
    const outcome = expect(registration.ready()).rejects.toMatchObject({ code: 'ERR_CLOSED' })
    await registration.deregister({ timeout: 200 })
    await outcome
    expect(registration.state).toBe('closed')

    await etcd.restart()
    await untilExactly(etcd, [])
  })

  it('fifty services that start without etcd are one warning', async test => {
    const etcd = await anEtcd(test)
    await etcd.kill()
    const registry = aRegistry(test, etcd)
    const registrations = Array.from({ length: 50 }, (_, i) => registry.register(orders({ port: 8000 + i })))
    const failures = new Set<string | undefined>()
    await until(() => failures.add(registry.status().etcd.lastError?.at).size > 3)
    await etcd.restart()
    await Promise.all(registrations.map(registration => registration.ready()))
    expect(registry.warnings.slice(1)).toEqual([
      expect.stringMatching(/answers again$/),
      expect.stringMatching(/^registered: .* and 45 more$/),
    ])
    await untilExactly(etcd, registrations)
  })
})
