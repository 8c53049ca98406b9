import { createServer } from 'node:http'
import { inspect } from 'node:util'
import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { attachServer, createAdapterRuntime, createRegistry, type RegistryOptions } from '../../src/index.ts'
import { resolveOptions } from '../../src/registry/options.ts'

let etcd: EtcdMember

const auth = { username: 'orders', password: 'pa55word-of-orders' }

beforeAll(async () => {
  etcd = await startEtcdBinary({
    tls: { clientCerts: true },
    auth: {
      rootPassword: 'pa55word-of-root',
      users: [
        {
          ...{ name: 'orders', password: auth.password },
          role: { prefix: '/services/', permission: 'readwrite' },
        },
        { name: 'nobody', password: auth.password },
      ],
    },
  })
})

afterAll(() => etcd?.stop())

/** Everything that a debugger, a logger or a crash could print of a thing, whatever it hangs on. */
function everything(thing: unknown): string {
  const deep = { depth: Number.POSITIVE_INFINITY, maxArrayLength: null, maxStringLength: null, getters: true }
  return [
    inspect(thing, deep),
    inspect(thing, { ...deep, showHidden: true }),
    JSON.stringify(thing, (_, value) => (typeof value === 'bigint' ? String(value) : value)),
    inspect(cloneOf(thing), { ...deep, showHidden: true }),
    thing instanceof Error ? `${thing.stack}${String(thing.cause)}` : '',
  ].join('\n')
}

/** What has functions in it cannot be cloned, and then shows nothing that way. */
function cloneOf(thing: unknown): unknown {
  try {
    return structuredClone(thing)
  } catch {
    return undefined
  }
}

function expectNoSecret(text: string): void {
  const key = etcd.tls!.key.split('\n').slice(1, 3)
  for (const secret of [...key, auth.password, encodeURIComponent(auth.password)])
    expect(text).not.toContain(secret)
  expect(text).not.toContain(Buffer.from(auth.password).toString('base64'))
  expect(text, 'a token of etcd').not.toMatch(/\b[A-Za-z]{16}\.\d+\b/)
  expect(text).not.toContain('PRIVATE KEY')
}

test.concurrent.each<[string, RegistryOptions['auth']]>([
  ['that works', auth],
  ['with a user who may do nothing', { ...auth, username: 'nobody' }],
  ['with a wrong user', { ...auth, username: 'stranger' }],
  ['with a password that is wrong', { username: 'orders', password: `${auth.password}!` }],
])('nothing of a registry %s shows a password, a key or a token', async (_, login) => {
  const seen: string[] = []
  const keep = (fields: object, message: string) => seen.push(message, everything(fields))
  const options: RegistryOptions = {
    // By its address: the password goes there all the same.
    hosts: etcd.endpoint,
    tls: etcd.tls!,
    auth: login!,
    // A machine that is busy must not look like an etcd that is.
    requestTimeout: 30_000,
    logger: { debug: keep, info: keep, warn: keep, error: keep },
  }
  const registry = createRegistry(options)
  try {
    const registration = registry.register({ name: 'orders', port: 8000, host: '192.0.2.1' })
    const discovery = registry.discover('orders')
    const outcomes = await Promise.allSettled([registration.ready(), discovery.ready(), registry.services()])
    const statuses = outcomes.map(({ status }) => status)
    expect(statuses).toEqual(Array(3).fill(login === auth ? 'fulfilled' : 'rejected'))
    for (const thing of [
      registry,
      registration,
      discovery,
      registry.status(),
      discovery.instances,
      outcomes,
      attachServer(createServer(), registry, { name: 'orders', signals: false }),
      createAdapterRuntime({ ...options, name: 'orders', enabled: false }),
    ]) {
      seen.push(everything(thing))
    }
    for (const outcome of outcomes) if (outcome.status === 'rejected') seen.push(everything(outcome.reason))
    // Not reachable from outside; who logs it in here shall not show it either.
    seen.push(inspect(resolveOptions(options), { depth: null }), JSON.stringify(resolveOptions(options)))
  } finally {
    await registry.close()
  }
  seen.push(everything(registry))
  expect(seen.length).toBeGreaterThan(7)
  for (const text of seen) expectNoSecret(text)
})
