import { inspect } from 'node:util'
import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { createRegistry } from '../../src/index.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { impatientRegistry } from './impatient-registry.ts'

forbidUnhandled()

let etcd: EtcdMember
const good = { username: 'orders', password: 'pa55word-of-orders' }
const service = { port: 8000, host: '192.0.2.1' }

beforeAll(async () => {
  etcd = await startEtcdBinary({
    auth: {
      rootPassword: 'root-pw',
      users: [
        { name: 'orders', password: good.password, role: { prefix: '/services/', permission: 'readwrite' } },
      ],
    },
  })
})

afterAll(() => etcd?.stop())

test.concurrent('the function "auth" is called for each authentication, not for each request', async () => {
  let calls = 0
  const auth = async () => {
    calls += 1
    return good
  }
  const { registry, warnings } = impatientRegistry({ hosts: etcd.endpoint, auth })
  try {
    expect(calls).toBe(0)
    const registration = registry.register({ name: 'asked', ...service })
    const discovery = registry.discover('asked')
    await Promise.all([registration.ready(), discovery.ready(), registry.services()])
    expect(calls).toBe(1)
    expect(warnings).toEqual([])
  } finally {
    await registry.close()
  }
})

const never = () => new Promise<never>(() => {})

describe.concurrent('a function "auth" that fails is one warning, and called again until it succeeds', () => {
  test.each<[string, () => Promise<unknown>, RegExp]>([
    [
      'it rejects',
      () => Promise.reject(new Error(`vault has ${good.password}`)),
      /failed \(it threw Error; its message is not shown/,
    ],
    [
      'it rejects with a code',
      () => Promise.reject(Object.assign(new Error(good.password), { code: 'ECONNREFUSED' })),
      /failed \(it threw Error with the code ECONNREFUSED; its message/,
    ],
    ['it rejects with a text', () => Promise.reject(good.password), /failed \(it threw string\)\./],
    [
      'it throws',
      () => {
        throw new TypeError('no vault')
      },
      /failed \(it threw TypeError; its/,
    ],
    ['it rejects with no error', () => Promise.reject(undefined), /failed \(it threw undefined\)\./],
    [
      'it gives nothing',
      async () => undefined,
      /failed \(Option "auth" must be an object \{ username, password \}/,
    ],
    [
      'it gives no user',
      async () => ({ ...good, username: '' }),
      /failed \(Option "auth\.username" must be a string that is not empty; got ""\)\./,
    ],
    [
      'it gives a password that is no string',
      async () => ({ ...good, password: Buffer.from(good.password) }),
      /failed \(Option "auth\.password" must be a string; got "object"\)\./,
    ],
    ['it never resolves', never, /failed \(it did not resolve within 500 ms\)\./],
  ])('%s', async (how, failing, expected) => {
    let works = false
    let calls = 0
    const auth = () => {
      calls += 1
      return (works ? Promise.resolve(good) : failing()) as Promise<typeof good>
    }
    const name = how.replace(/\W+/g, '-')
    const { registry, warnings } = impatientRegistry({
      hosts: etcd.endpoint,
      auth,
      requestTimeout: failing === never ? 500 : 3000,
    })
    try {
      const registration = registry.register({ name, ...service })
      const discovery = registry.discover(name)
      await until(() => calls > 3)
      expect(warnings).toEqual([expect.stringMatching(expected)])
      expect(warnings[0]).toMatch(/^No credentials for etcd at 127\.0\.0\.1:\d+: the function "auth" failed/)
      expect(inspect([warnings, registry.status()], { depth: 9 })).not.toContain(good.password)
      expect(registry.status().etcd).toMatchObject({
        connection: 'down',
        lastError: { code: 'ERR_CREDENTIALS' },
      })
      works = true
      await Promise.all([registration.ready(), discovery.ready()])
      expect(warnings.filter(line => line.startsWith('No credentials'))).toHaveLength(1)
    } finally {
      await registry.close()
    }
  })
})

test.concurrent('close() does not wait for a function "auth" that never resolves', async () => {
  const { registry } = impatientRegistry({ hosts: etcd.endpoint, auth: never, requestTimeout: 600_000 })
  const ready = registry.discover('closing').ready()
  await Promise.all([expect(ready).rejects.toMatchObject({ code: 'ERR_CLOSED' }), registry.close()])
})

test.concurrent('what the function "auth" gives is nowhere to be seen', async () => {
  const seen: unknown[] = []
  const keep = (fields: object, message: string) => void seen.push(message, fields)
  const logger = { debug: keep, info: keep, warn: keep, error: keep }
  for (const password of [good.password, `${good.password}!`]) {
    const auth = async () => ({ ...good, password })
    const registry = createRegistry({ hosts: etcd.endpoint, auth, logger })
    const discovery = registry.discover('secret')
    const ready = await discovery.ready().catch(error => error)
    seen.push(registry, discovery, registry.status(), ready)
    await registry.close()
  }
  const all = seen.map(thing => inspect(thing, { depth: Number.POSITIVE_INFINITY, showHidden: true })).join()
  expect(all).not.toContain(good.password)
  expect(all).not.toContain(Buffer.from(good.password).toString('base64'))
  expect(all).not.toMatch(/\b[A-Za-z]{16}\.\d+\b/)
})
