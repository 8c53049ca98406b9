import type { Registration } from '@etcd-register/core'
import { type EtcdCluster, type EtcdMember, startEtcdCluster } from '@etcd-register/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { row } from '../support/etcdctl-table.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import {
  aRegistry,
  eventsOf,
  type LoggedRegistry,
  orders,
  registered,
  untilExactly,
} from '../support/write-side.ts'

forbidUnhandled()

let cluster: EtcdCluster
beforeAll(async () => {
  cluster = await startEtcdCluster({ members: 3 })
})
afterAll(() => cluster?.stop())

const memberOf = (registry: LoggedRegistry) =>
  cluster.members.find(({ port }) => registry.status().etcd.member?.endsWith(`:${port}`))!

/** Acknowledged from now on. */
const renewed = (registration: Registration) => new Promise(resolve => registration.once('renewed', resolve))

describe('a cluster of three', () => {
  const faults: [string, (member: EtcdMember) => Promise<void>, (member: EtcdMember) => Promise<void>][] = [
    ['is killed', member => member.kill(), member => member.restart()],
    ['is frozen', member => member.freeze(), async member => member.thaw()],
  ]
  it.for(faults)('a lease survives when the member it is renewed on %s', async ([, hurt, heal], test) => {
    const registry = aRegistry(test, cluster, { ttl: 15, namespace: `/carrier-${Math.random()}` })
    const registration = await registered(registry)
    await renewed(registration)
    const events = eventsOf(registration)
    const member = memberOf(registry)
    await hurt(member)
    await renewed(registration)
    expect(events).toEqual([])
    const rest = cluster.members.find(other => other !== member)!
    const prefix = registration.instance.key
    expect(await untilExactly(rest, [registration], { prefix })).toMatchObject([{ version: 1 }])
    await heal(member)
    await until(() => row(member, prefix))
  })

  it.for(faults)('a lease survives when the leader %s', async ([, hurt, heal], test) => {
    const registry = aRegistry(test, cluster, { ttl: 15, namespace: `/leader-${Math.random()}` })
    const registration = await registered(registry)
    const events = eventsOf(registration)
    const leader = await cluster.leader()
    await hurt(leader)
    await renewed(registration)
    expect(events).toEqual([])
    const rest = cluster.members.find(other => other !== leader)!
    const prefix = registration.instance.key
    expect(await untilExactly(rest, [registration], { prefix })).toMatchObject([{ version: 1 }])
    // A member that is gone is no reason to stop writing.
    const other = registry.register(orders({ port: 8001 }))
    await other.ready()
    await heal(leader)
    await until(() => row(leader, prefix))
  })
})
