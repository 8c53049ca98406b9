import type { Registry } from '@etcd-register/core'
import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { leaseOf } from '../support/lease-of.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { EtcdUsers, jwtTokens } from './etcd-users.ts'
import { impatientRegistry } from './impatient-registry.ts'

forbidUnhandled()

const jwt = jwtTokens()
const orders = { username: 'orders', password: 'orders-pw' }
const service = { port: 8000, host: '192.0.2.1' }
/** A machine that is busy must not look like an etcd that is. */
const patient = { requestTimeout: 30_000 }
const started: EtcdMember[] = []

const OTHERS = ['added', 'granted', 'revoked', 'changed', 'deleted'] as const

async function startWithJwt(): Promise<{ etcd: EtcdMember; users: EtcdUsers }> {
  const readwrite = { prefix: '/services/', permission: 'readwrite' } as const
  const etcd = await startEtcdBinary({
    args: jwt.args,
    auth: {
      rootPassword: 'root-pw',
      users: [
        { name: 'orders', password: 'orders-pw', role: readwrite },
        ...OTHERS.map(name => ({ name, password: 'pw', role: { ...readwrite, prefix: `/${name}/` } })),
      ],
    },
  })
  started.push(etcd)
  return { etcd, users: new EtcdUsers(etcd) }
}

afterAll(async () => {
  await Promise.all(started.map(etcd => etcd.stop()))
  jwt.remove()
})

/** A registration and a discovery of it, and what must not happen to them. */
async function observed(registry: Registry, name: string) {
  const registration = registry.register({ name, ...service })
  const discovery = registry.discover(name)
  await Promise.all([registration.ready(), discovery.ready()])
  await until(() => discovery.instances.length === 1)
  const troubles: string[] = []
  let renewals = 0
  registration.on('lost', reason => troubles.push(`lost ${reason}`))
  registration.on('renewed', () => {
    renewals += 1
  })
  // A stream that was silent for seconds tells of a busy machine; a token that is refused ends it at once.
  discovery.on('stale', since => {
    if (Date.now() - since.getTime() < 1000) troubles.push('stale')
  })
  const renewedTwice = async () => {
    const before = renewals
    await until(() => renewals >= before + 2)
  }
  return { registration, discovery, troubles, renewedTwice }
}

let shared: Awaited<ReturnType<typeof startWithJwt>>

beforeAll(async () => {
  shared = await startWithJwt()
})

describe.concurrent('JWT tokens: a change of users or roles loses no lease, no write and no event', () => {
  test.each<[string, (users: EtcdUsers) => Promise<void>]>([
    ['a user is added', users => users.add('new')],
    ['a role is granted', users => users.change('user/grant', { user: 'granted', role: 'orders' })],
    ['a role is revoked', users => users.change('user/revoke', { name: 'revoked', role: 'revoked' })],
    ['another user gets a password', users => users.changePassword('changed', 'new-pw')],
    ['another user is deleted', users => users.change('user/delete', { name: 'deleted' })],
  ])('%s', async (title, change) => {
    const { etcd, users } = shared
    const name = title.replaceAll(' ', '-')
    const { registry, warnings } = impatientRegistry({
      ...patient,
      hosts: etcd.endpoint,
      auth: orders,
      ttl: 15,
    })
    try {
      const { registration, discovery, troubles, renewedTwice } = await observed(registry, name)
      await change(users)
      // A renewal finds the change, where etcd checks those; else the write does.
      await renewedTwice()
      await registration.update({ weight: 1 })
      await users.add(name)
      await registration.update({ weight: 2 })
      await until(() => discovery.instances[0]?.weight === 2)
      // The guard of the key is a watch, too.
      await etcd.etcdctl('del', registration.instance.key)
      await until(() => troubles.includes('lost key-deleted') && registration.state === 'registered')
      await until(() => discovery.instances[0]?.weight === 2)
      // Its watch joins a stream that has the old token.
      await users.add(`${name}-late`)
      const late = registry.discover(`${name}-late`)
      await late.ready()
      await until(() => !late.stale)
      await renewedTwice()
      expect(troubles).toEqual(['lost key-deleted'])
      expect(warnings.filter(line => !line.includes('key-deleted'))).toEqual([])
      expect(leaseOf(registry).losses).toBe(0)
    } finally {
      await registry.close()
    }
  })
})

test.concurrent('JWT tokens: all that wait for a new token after a change cost one authentication', async () => {
  const { etcd, users } = await startWithJwt()
  const { registry } = impatientRegistry({ ...patient, hosts: etcd.endpoint, auth: orders })
  try {
    const registrations = Array.from({ length: 20 }, (_, i) =>
      registry.register({ name: `s${i}`, ...service }),
    )
    const discovery = registry.discover('s0')
    await Promise.all([discovery.ready(), ...registrations.map(it => it.ready())])
    expect(await users.authentications()).toBe(1)
    await users.add('new')
    await Promise.all(registrations.map(it => it.update({ weight: 1 })))
    expect(await users.authentications()).toBe(2)
  } finally {
    await registry.close()
  }
})

test.concurrent('JWT tokens: users that change all the time fail no write', async () => {
  const { etcd, users } = await startWithJwt()
  const { registry, warnings } = impatientRegistry({ ...patient, hosts: etcd.endpoint, auth: orders })
  try {
    const registration = registry.register({ name: 'changing', ...service })
    await registration.ready()
    let changes = 0
    const changing = (async () => {
      for (; changes < 20; changes += 1) await users.changePassword('changed', `pw-${changes}`)
    })()
    for (let weight = 1; changes < 20; weight = (weight % 1000) + 1) await registration.update({ weight })
    await changing
    expect(warnings).toEqual([])
  } finally {
    await registry.close()
  }
})

test.concurrent('JWT tokens: after the own password changed there is one clear error, until the function "auth" gives the new one', async () => {
  const { etcd, users } = await startWithJwt()
  let password = 'orders-pw'
  let calls = 0
  const auth = async () => {
    calls += 1
    return { username: 'orders', password }
  }
  const { registry, warnings, tries } = impatientRegistry({ ...patient, hosts: etcd.endpoint, auth })
  try {
    const registration = registry.register({ name: 'rotated', ...service })
    await registration.ready()
    expect(calls).toBe(1)
    await users.changePassword('orders', 'new-pw')
    const updated = registration.update({ weight: 7 }).catch(error => error)
    await until(() => registry.status().etcd.connection === 'down')
    const before = tries()
    await until(() => tries() - before > 4)
    expect(warnings).toEqual([
      expect.stringMatching(
        /does not accept the credentials \(.*invalid user ID or password\).*user "orders"/,
      ),
    ])
    password = 'new-pw'
    await until(() => registry.status().etcd.connection === 'up')
    await updated
    await until(async () => (await etcd.etcdctl('get', registration.instance.key)).includes('"weight":7'))
    expect(warnings.slice(1)).toEqual([expect.stringMatching(/answers again$/)])
    expect(leaseOf(registry).losses).toBe(0)
  } finally {
    await registry.close()
  }
})
