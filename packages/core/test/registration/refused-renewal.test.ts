import { describe, expect, it } from 'vitest'
import { rows } from '../support/etcdctl-table.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { anEtcd, aRegistry, eventsOf, orders, registered, untilExactly } from '../support/write-side.ts'

forbidUnhandled()

const auth = { username: 'orders', password: 'secret' }
const users = [
  { name: 'orders', password: 'secret', role: { prefix: '/services/orders/', permission: 'readwrite' } },
] as const

const special = (what: 'grant' | 'revoke') => [
  ...['role', `${what}-permission`, 'orders'],
  ...(what === 'grant' ? ['readwrite'] : []),
  ...['/services/special/', '--prefix'],
]

describe.concurrent('a lease that etcd may not renew any more, since its user may not write its key', () => {
  it('costs the others nothing, and is told of once; from 3.5.28 on etcd ends the stream of all for it', async test => {
    const etcd = await anEtcd(test, { auth: { rootPassword: 'root', users } })
    await etcd.etcdctl(...special('grant'))
    const registry = aRegistry(test, etcd, { auth, ttl: 15 })
    const ports = Array.from({ length: 100 }, (_, i) => 8000 + i)
    const all = await Promise.all(
      ports.map((port, i) => registered(registry, orders({ port, name: i === 50 ? 'special' : 'orders' }))),
    )
    const events = all.map(eventsOf)
    let renewals = 0
    all[0]!.on('renewed', () => void renewals++)

    await etcd.etcdctl(...special('revoke'))
    await until(() => renewals >= 3, { within: 80_000 })
    const others = all.filter((_, i) => i !== 50)
    expect(events.filter((_, i) => i !== 50)).toEqual(others.map(() => []))
    const losses = registry.status().registrations.map(({ lease }) => lease.losses)
    expect(losses.filter((_, i) => i !== 50)).toEqual(others.map(() => 0))
    expect(await rows(etcd, '/services/orders/')).toHaveLength(99)

    await etcd.etcdctl(...special('grant'))
    await until(() => all[50]!.state === 'registered')
    await untilExactly(etcd, all)
  })
})
