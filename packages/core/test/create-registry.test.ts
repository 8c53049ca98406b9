import { execFile } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createRegistry } from '@etcd-register/core'
import { expect, test } from 'vitest'

const fixture = fileURLToPath(new URL('./fixtures/create-registry.mjs', import.meta.url))

test.each(['import', 'require'])(
  'createRegistry after %s connects to nobody, and does not load etcd3',
  async how => {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [fixture, how], {
      timeout: 60_000,
    })
    const { status, resources, packages, network } = JSON.parse(stdout)
    expect(stderr).toBe('')
    expect(status.etcd).toMatchObject({ hosts: ['http://127.0.0.1:2379'], connection: 'idle' })
    expect(status).toMatchObject({ registrations: [], watches: [] })
    expect(packages).toEqual([])
    expect(network).toEqual([])
    expect(resources.filter((name: string) => /TCP|Socket|Timeout|DNS|GETADDRINFO/i.test(name))).toEqual([])
  },
)

test('with nothing but an invalid option it throws, and leaves nothing behind', () => {
  const before = process.getActiveResourcesInfo()
  expect(() => createRegistry({ ttl: 1 })).toThrow(/Option "ttl"/)
  expect(process.getActiveResourcesInfo()).toEqual(before)
})

test('a registry that was never used closes at once, and refuses work from then on', async () => {
  const registry = createRegistry({ logger: false })
  await Promise.all([registry.close(), registry.close(), registry[Symbol.asyncDispose]()])
  const closed = { code: 'ERR_CLOSED' }
  expect(() => registry.register({ name: 'orders', port: 1 })).toThrow(expect.objectContaining(closed))
  expect(() => registry.discover('orders')).toThrow(expect.objectContaining(closed))
  await expect(registry.services()).rejects.toMatchObject(closed)
  expect(registry.status()).toMatchObject({ etcd: { connection: 'closed' } })
})

test('what is refused takes no resource: the registry can go on', async () => {
  await using registry = createRegistry({ logger: false })
  expect(() => registry.register({ name: 'a/b', port: 1 })).toThrow(/Option "name"/)
  expect(() => registry.discover('a/b')).toThrow(/Option "name"/)
  expect(() => registry.discover('orders', { balancer: 'x' as never })).toThrow(/Option "balancer"/)
  expect(() => registry.discover('orders', { filter: 'x' as never })).toThrow(/Option "filter"/)
  expect(() => registry.discover('orders', { zone: 7 as never })).toThrow(/Option "zone"/)
  const metadata = Object.fromEntries([...'abcde'].map(note => [note, 'x'.repeat(16_000)]))
  expect(() => registry.register({ name: 'orders', port: 1, metadata })).toThrow(/Option "metadata"/)
  expect(registry.status()).toMatchObject({ registrations: [], watches: [] })
})
