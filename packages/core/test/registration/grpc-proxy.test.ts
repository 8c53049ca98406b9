import { startGrpcProxy } from '@etcd-register/testing'
import { describe, expect, it } from 'vitest'
import { Connection } from '../../src/etcd/client/connection.ts'
import { systemClock } from '../../src/etcd/support/clock.ts'
import { resolveOptions } from '../../src/registry/options.ts'
import { leaseOf } from '../support/lease-of.ts'
import { aSessionKeeper } from '../support/session-keeper.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { anEtcd, aRegistry, type Cleanup, orders, registered, untilExactly } from '../support/write-side.ts'

forbidUnhandled()

async function aProxiedEtcd(test: Cleanup) {
  const etcd = await anEtcd(test)
  const proxy = await startGrpcProxy(etcd)
  test.onTestFinished(() => proxy.stop())
  return { etcd, proxy }
}

describe.concurrent("behind etcd's grpc-proxy, which acknowledges renewals by its own schedule", () => {
  it.for([2, 5])('a lease of %i s is renewed over one stream', async (ttl, test) => {
    const { proxy } = await aProxiedEtcd(test)
    const options = resolveOptions({ hosts: proxy.endpoint, ttl, logger: false }, {})
    const connection = new Connection(options, systemClock)
    test.onTestFinished(() => connection.close())
    const opening = connection.openKeepAlive.bind(connection)
    let opened = 0
    connection.openKeepAlive = handlers => {
      opened += 1
      return opening(handlers)
    }
    let renewals = 0
    const renewed = () => void renewals++
    const keeper = aSessionKeeper(test, { connection, clock: systemClock, ttl }, { renewed })
    await until(() => renewals >= 15, { within: 60_000 })
    expect({ opened, losses: keeper.status().losses }).toEqual({ opened: 1, losses: 0 })
  })

  it('thirty leases of 6 s are renewed, and none is lost', async test => {
    const { etcd, proxy } = await aProxiedEtcd(test)
    const registry = aRegistry(test, proxy, { ttl: 6 })
    const all = await Promise.all(
      Array.from({ length: 30 }, (_, i) => registered(registry, orders({ port: 8000 + i }))),
    )
    const renewals = all.map(() => 0)
    all.forEach((registration, i) => {
      registration.on('renewed', () => {
        renewals[i]! += 1
      })
    })
    await until(() => renewals.every(count => count >= 5), { within: 60_000 })
    await untilExactly(etcd, all)
    expect(registry.status().registrations.map(({ lease }) => lease.losses)).toEqual(all.map(() => 0))
  })

  it('a registration lives on when the proxy is started again, or stands still for a while', async test => {
    const { etcd, proxy } = await aProxiedEtcd(test)
    const registry = aRegistry(test, proxy, { ttl: 20 })
    const registration = await registered(registry)
    const renewed = () => new Promise(resolve => registration.once('renewed', resolve))
    await renewed()
    await proxy.kill()
    await proxy.restart()
    await renewed()
    await proxy.freeze()
    await until(() => leaseOf(registry).lastAckAge! > 8000)
    proxy.thaw()
    await renewed()
    await untilExactly(etcd, [registration])
    expect(leaseOf(registry).losses).toBe(0)
  })
})
