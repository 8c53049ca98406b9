import type { RegistryOptions } from '@etcd-register/core'
import { type EtcdMember, startEtcdBinary, startFaultProxy } from '@etcd-register/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { leaseOf } from '../support/lease-of.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { impatientRegistry, type Watched } from './impatient-registry.ts'

forbidUnhandled()

let guarded: EtcdMember

const readwrite = { prefix: '/services/', permission: 'readwrite' } as const

beforeAll(async () => {
  guarded = await startEtcdBinary({
    auth: {
      rootPassword: 'root-pw',
      tokenTtl: 1,
      users: [
        { name: 'orders', password: 'orders:pw', role: readwrite },
        { name: 'forgetful', password: 'old-pw', role: readwrite },
        { name: 'reader', password: 'reader-pw', role: { ...readwrite, permission: 'read' } },
        { name: 'nobody', password: 'nobody-pw' },
        { name: 'demoted', password: 'demoted-pw', role: readwrite },
        { name: 'blinded', password: 'blinded-pw', role: readwrite },
        { name: 'stranded', password: 'stranded-pw', role: readwrite },
        { name: 'restless', password: 'restless-pw' },
      ],
    },
  })
})

afterAll(() => guarded?.stop())

const service = { port: 8000, host: '192.0.2.1' }
const orders = { username: 'orders', password: 'orders:pw' }

/** Runs with a registry that is closed in any case. */
async function using(
  options: RegistryOptions,
  run: (watched: Watched) => Promise<void>,
  env: NodeJS.ProcessEnv = {},
): Promise<void> {
  const watched = impatientRegistry({ hosts: guarded.endpoint, ...options }, env)
  try {
    await run(watched)
  } finally {
    await watched.registry.close()
  }
}

const failure = (promise: Promise<void>) =>
  promise.then(
    () => undefined,
    error => error,
  )

/** Through etcd's JSON gateway, since etcdctl asks for passwords on a terminal. */
async function changePassword(name: string, password: string): Promise<void> {
  const call = async (path: string, body: object, token?: string) => {
    const response = await fetch(`${guarded.endpoint}/v3/auth/${path}`, {
      method: 'POST',
      headers: token === undefined ? {} : { authorization: token },
      body: JSON.stringify(body),
    })
    if (!response.ok) throw new Error(await response.text())
    return (await response.json()) as { token: string }
  }
  // Any change of users or roles ends all tokens, so that ours can be over before it is used.
  await until(async () => {
    const { token } = await call('authenticate', { name: 'root', password: 'root-pw' })
    return call('user/changepw', { name, password }, token)
  })
}

describe.concurrent('a registry logs in', () => {
  test.each<[string, RegistryOptions, NodeJS.ProcessEnv]>([
    ['with the option', { auth: orders }, {}],
    ['with ETCD_USERNAME and ETCD_PASSWORD', {}, { ETCD_USERNAME: 'orders', ETCD_PASSWORD: 'orders:pw' }],
    ['with ETCDCTL_USER, whose password may have a colon', {}, { ETCDCTL_USER: 'orders:orders:pw' }],
  ])('%s', async (how, options, env) => {
    const name = how.replace(/\W+/g, '-')
    await using(
      options,
      async ({ registry, warnings }) => {
        const discovery = registry.discover(name)
        await registry.register({ name, ...service }).ready()
        await until(() => discovery.instances.length === 1)
        expect(await registry.services()).toContain(name)
        expect(warnings).toEqual([])
        // Its role is for /services/ alone.
        expect(registry.status().etcd.lastError).toBeUndefined()
      },
      env,
    )
  })
})

describe.concurrent('credentials that etcd does not take are one error with the fix in it, and one warning', () => {
  test.each<[string, () => RegistryOptions, RegExp]>([
    [
      'a wrong password',
      () => ({ auth: { username: 'orders', password: 'wrong' } }),
      /invalid user ID or password\)\. It was given user "orders"; check auth\.username and auth\.password \(ETCD_USERNAME/,
    ],
    [
      'an unknown user',
      () => ({ auth: { username: 'stranger', password: 'wrong' } }),
      /invalid user ID or password\)\. It was given user "stranger"; check/,
    ],
  ])('%s', async (_, options, expected) => {
    await using(options(), async ({ registry, warnings, tries }) => {
      const registration = registry.register({ name: 'refused', ...service })
      const discovery = registry.discover('refused')
      const [registering, discovering, listing] = await Promise.all([
        failure(registration.ready()),
        failure(discovery.ready()),
        failure(registry.services() as never),
      ])
      expect(registering).toMatchObject({ code: 'ERR_ETCD_AUTH', retryable: false })
      expect(registering.message).toMatch(expected)
      expect(discovering).toMatchObject({ code: 'ERR_ETCD_AUTH' })
      expect(listing).toMatchObject({ code: 'ERR_ETCD_AUTH' })
      const before = tries()
      await until(() => tries() - before > 4)
      expect(warnings).toEqual([`${registering.message} Retrying.`])
      expect(registry.status()).toMatchObject({
        registrations: [{ state: 'registering', lastError: { code: 'ERR_ETCD_AUTH' } }],
        watches: [{ stale: true, lastError: { code: 'ERR_ETCD_AUTH' } }],
      })
    })
  })

  test('none at all', async () => {
    await using({}, async ({ registry, warnings }) => {
      const registration = registry.register({ name: 'refused', ...service })
      const error = await failure(registration.ready())
      expect(error).toMatchObject({ code: 'ERR_ETCD_AUTH', retryable: false })
      expect(error.message).toMatch(
        /\(user name is empty\)\. It was given no user; check auth\.username and auth\.password/,
      )
      expect(warnings[0]).toMatch(/\(user name is empty\)\. It was given no user; .* Retrying\.$/)
      await expect(registry.services()).rejects.toMatchObject({ code: 'ERR_ETCD_AUTH' })
    })
  })

  // etcd 3.4 grants a lease to anybody, which looks like one success among the failures. Newer versions refuse it.
  test('none at all, also where a lease is granted all the same: no way in, and one warning', async () => {
    const lease = await fetch(`${guarded.endpoint}/v3/lease/grant`, { method: 'POST', body: '{"TTL":"60"}' })
    const granted = lease.ok
    await using({ ttl: 2 }, async ({ registry, warnings, tries }) => {
      const discovery = registry.discover('refused')
      expect(await failure(discovery.ready())).toMatchObject({ code: 'ERR_ETCD_AUTH' })
      const { connection, since } = registry.status().etcd
      expect(connection).toBe('down')
      const registration = registry.register({ name: 'refused', ...service })
      expect(await failure(registration.ready())).toMatchObject({ code: 'ERR_ETCD_AUTH' })
      if (granted) await until(() => leaseOf(registry).losses === 1)
      const before = tries()
      await until(() => tries() - before > 4)
      expect(registry.status().etcd).toMatchObject({ connection, since })
      expect(warnings).toEqual([
        expect.stringMatching(/user name is empty.* Retrying\.$/),
        ...(granted ? [expect.stringMatching(/^lost the lease/)] : []),
      ])
    })
  })

  test('and once the password is corrected in etcd, it registers and discovers', async () => {
    await using({ auth: { username: 'forgetful', password: 'new-pw' } }, async ({ registry, warnings }) => {
      const registration = registry.register({ name: 'forgetful', ...service })
      const discovery = registry.discover('forgetful')
      await expect(registration.ready()).rejects.toMatchObject({ code: 'ERR_ETCD_AUTH' })
      await changePassword('forgetful', 'new-pw')
      await until(() => registration.state === 'registered' && discovery.instances.length === 1)
      await Promise.all([registration.ready(), discovery.ready()])
      expect(warnings.slice(1)).toEqual([
        expect.stringMatching(/answers again$/),
        'registered: forgetful 192.0.2.1:8000',
      ])
      expect(registry.status().etcd).toMatchObject({ connection: 'up' })
    })
  })
})

test('users and roles that change meanwhile fail no write', async () => {
  await using({ auth: orders }, async ({ registry, warnings }) => {
    const registration = registry.register({ name: 'changing', ...service })
    await registration.ready()
    let changes = 0
    const changing = (async () => {
      for (; changes < 30; changes += 1) await changePassword('restless', `restless-pw-${changes}`)
    })()
    for (let weight = 1; changes < 30; weight = (weight % 1000) + 1) await registration.update({ weight })
    await changing
    expect(warnings).toEqual([])
  })
})

describe.concurrent('a user without permission on the prefix', () => {
  test('may not register, is told so once, and what to grant', async () => {
    const auth = { username: 'reader', password: 'reader-pw' }
    await using({ auth }, async ({ registry, warnings, tries }) => {
      const registration = registry.register({ name: 'readers', ...service })
      const discovery = registry.discover('readers')
      const error = await failure(registration.ready())
      expect(error).toMatchObject({ code: 'ERR_ETCD_PERMISSION', retryable: false })
      expect(error.message).toMatch(
        /refused a write \(permission denied\)\. It was asked by user "reader", who needs a role with readwrite permission for "[^"]*readers\/[^"]+"; grant it on their prefixes\.$/,
      )
      // Reading is another matter.
      await discovery.ready()
      const before = tries()
      await until(() => tries() - before > 4)
      expect(warnings).toEqual([`${error.message} Retrying.`])
    })
  })

  test('may not discover, until the role is granted', async () => {
    const auth = { username: 'nobody', password: 'nobody-pw' }
    await using({ auth }, async ({ registry }) => {
      const discovery = registry.discover('secrets')
      const error = await failure(discovery.ready())
      expect(error).toMatchObject({ code: 'ERR_ETCD_PERMISSION' })
      expect(error.message).toContain('user "nobody", who needs a role with read permission')
      expect(discovery.stale).toBe(true)
      await guarded.etcdctl('user', 'grant-role', 'nobody', 'orders')
      await until(() => !discovery.stale)
      await discovery.ready()
    })
  })
})

test('a registration whose key may not be watched any more says so once, and when it is watched again', async () => {
  const may = (what: 'write' | 'readwrite') =>
    guarded.etcdctl('role', 'grant-permission', 'blinded', what, '/services/', '--prefix')
  const link = await startFaultProxy(guarded)
  const auth = { username: 'blinded', password: 'blinded-pw' }
  try {
    await using({ auth, hosts: link.endpoint }, async ({ registry, warnings }) => {
      const registration = registry.register({ name: 'seen', ...service })
      await registration.ready()
      await may('write')
      // A watch that is there already goes on.
      link.drop()
      const blind = () =>
        warnings.filter(line =>
          /permission denied.* the keys of seen 192\.0\.2\.1:8000 are not repaired/.test(line),
        )
      await until(() => blind().length > 0)
      await may('readwrite')
      await until(() => warnings.includes('the keys of seen 192.0.2.1:8000 are watched again'))
      expect(blind()).toHaveLength(1)
      expect(registration.state).toBe('registered')
    })
  } finally {
    await link.stop()
  }
})

test('an instance that may neither delete its key nor end its lease says what stays, and why', async () => {
  const auth = { username: 'stranded', password: 'stranded-pw' }
  await using({ auth }, async ({ registry, warnings }) => {
    const registration = registry.register({ name: 'stranded', ...service })
    await registration.ready()
    await guarded.etcdctl('user', 'revoke-role', 'stranded', 'stranded')
    await registration.deregister()
    expect(await guarded.etcdctl('get', registration.instance.key, '--keys-only')).not.toBe('')
    const told = warnings.filter(line => line.includes('has left, but its keys stay'))
    expect(told).toEqual([expect.stringMatching(/^etcd at .* refused .*permission denied/)])
  })
})

test('a write that is refused for good holds up nobody who leaves: the lease takes the key along', async () => {
  const may = (what: 'write' | 'readwrite') =>
    guarded.etcdctl('role', 'grant-permission', 'demoted', what, '/services/', '--prefix')
  const auth = { username: 'demoted', password: 'demoted-pw' }
  await using({ auth }, async ({ registry }) => {
    const [first, last] = ['first', 'last'].map(name => registry.register({ name, ...service }))
    await Promise.all([first!.ready(), last!.ready()])
    const found = async () => {
      const keys = await guarded.etcdctl('get', '--prefix', '/services/', '--keys-only')
      return [first!, last!].filter(({ instance }) => keys.includes(instance.key))
    }
    // To compare a key is to read it.
    await may('write')
    await first!.deregister()
    expect(await found()).toEqual([last])

    // Whoever comes in its place hears why it cannot, and is there as soon as it can.
    const again = registry.register({ name: 'first', ...service })
    await expect(again.ready()).rejects.toMatchObject({ code: 'ERR_ETCD_PERMISSION' })
    await may('readwrite')
    await until(() => again.state === 'registered')
  })
})

test.concurrent('an expired token loses neither a registration nor an event', async () => {
  await using({ auth: orders, ttl: 3 }, async ({ registry, warnings }) => {
    const registration = registry.register({ name: 'tokens', ...service })
    const discovery = registry.discover('tokens')
    const weights: number[] = []
    const losses: string[] = []
    discovery.on('change', ({ added, updated }) => {
      weights.push(...[...added, ...updated].map(({ weight }) => weight))
    })
    registration.on('lost', reason => losses.push(reason))
    await registration.ready()
    // Each renewal is a second, the life of a token: keepalives do not prolong it.
    let renewals = 0
    registration.on('renewed', () => {
      renewals += 1
    })
    await until(() => renewals >= 3)
    const renewed = renewals
    await registration.update({ weight: 1 })
    await until(() => weights.includes(1))
    await until(() => renewals >= renewed + 2)
    await registration.update({ weight: 2 })
    await until(() => weights.includes(2))
    expect({ weights, losses, warnings }).toEqual({ weights: [100, 1, 2], losses: [], warnings: [] })
    expect(leaseOf(registry).losses).toBe(0)
  })
})

test.concurrent('streams that break after the token expired go on without a gap', async () => {
  const link = await startFaultProxy(guarded)
  try {
    await using({ hosts: link.endpoint, auth: orders, ttl: 3 }, async ({ registry }) => {
      const registration = registry.register({ name: 'links', ...service })
      const discovery = registry.discover('links')
      const ids = new Set<string>()
      const gone: string[] = []
      discovery.on('change', ({ added, removed }) => {
        for (const { id } of added) ids.add(id)
        for (const { id } of removed) gone.push(id)
      })
      await Promise.all([registration.ready(), discovery.ready()])
      await until(() => ids.size === 1)
      let renewals = 0
      registration.on('renewed', () => {
        renewals += 1
      })
      await until(() => renewals >= 3)
      link.drop()
      for (const id of ['a', 'b', 'c']) {
        const value = { id, name: 'links', endpoints: ['http://192.0.2.2:80'] }
        await guarded.etcdctl('put', `/services/links/${id}`, JSON.stringify(value))
      }
      await until(() => ids.size === 4)
      const before = renewals
      await until(() => renewals > before)
      expect(gone).toEqual([])
      expect(registration.state).toBe('registered')
      expect(leaseOf(registry).losses).toBe(0)
    })
  } finally {
    await link.stop()
  }
})
