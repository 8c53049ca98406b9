import { once } from 'node:events'
import { createServer } from 'node:http'
import { inspect } from 'node:util'
import { attachServer } from '@etcd-register/core'
import { expect, test } from 'vitest'
import { openRegistry, startEtcd } from './support/read-side.ts'
import { orders } from './support/write-side.ts'

test('what is logged whole says what it is, in JSON and by inspect', async t => {
  const etcd = await startEtcd(t)
  const registry = openRegistry(t, etcd.endpoint, { auth: { username: 'root', password: 'hunter2' } })
  const registration = registry.register(orders())
  const discovery = registry.discover('orders')
  const server = createServer()
  const attached = attachServer(server, registry, { name: 'web', host: '192.0.2.1', drainDelay: 0 })
  await once(server.listen(0, '127.0.0.1'), 'listening')
  t.onTestFinished(() => void server.close())
  await Promise.all([registration.ready(), discovery.ready(), attached.registration!.ready()])
  await expect.poll(() => discovery.instances).toHaveLength(1)

  const all = { registry, registration, discovery, attached }
  const json = JSON.parse(JSON.stringify(all))
  const { revision } = discovery
  expect(json).toMatchObject({
    registry: { etcd: { connection: 'up' }, registrations: [{ name: 'orders' }, { name: 'web' }] },
    registration: {
      name: 'orders',
      id: '192.0.2.1:8000',
      state: 'registered',
      keys: ['/services/orders/192.0.2.1:8000'],
      endpoints: ['http://192.0.2.1:8000'],
    },
    discovery: { name: 'orders', instances: 1, revision: String(revision) },
    attached: { state: 'serving', registration: { name: 'web' } },
  })
  expect(Object.keys(json.discovery).filter(name => name.startsWith('_'))).toEqual([])

  expect(inspect(registry)).toMatch(/^Registry \{\s+etcd: \{/)
  expect(inspect(registration)).toMatch(/^Registration \{\s+name: 'orders',\s+id: '192\.0\.2\.1:8000',/)
  expect(inspect(discovery)).toMatch(/^Discovery \{\s*name: 'orders',\s+instances: 1,/)
  expect(inspect(attached)).toMatch(
    /^ServerRegistration \{\s+state: 'serving',\s+registration: Registration \{/,
  )
  expect(inspect({ deep: { deeper: { deepest: registry } } })).toContain('deepest: [Registry]')
  for (const depth of [10, null]) {
    const text = `${inspect(all, { depth, showHidden: true })} ${JSON.stringify(all)}`
    expect(text).not.toContain('hunter2')
  }
})
