import type { FaultDirection } from '@etcd-register/testing'
import { test } from 'vitest'
import { expectConverged, Witness } from '../support/oracle.ts'
import { valueFor } from '../support/raw-writer.ts'
import { discover, nextEvent, openRegistry, openWriter, startEtcd, startProxy } from '../support/read-side.ts'
import { within } from '../support/timed.ts'

const entry = (id: string) => ({ put: `/services/web/${id}`, value: valueFor('web', id) })

test.concurrent.for<{ what: string; direction: FaultDirection }>([
  { what: 'no way', direction: 'both' },
  { what: 'what comes from etcd only', direction: 'up' },
  { what: 'what goes to etcd only', direction: 'down' },
])(
  'a link that lets through $what is stale within 5 s, since it was last heard',
  async ({ direction }, t) => {
    const etcd = await startEtcd(t)
    const proxy = await startProxy(t, etcd)
    const registry = openRegistry(t, proxy.endpoint)
    const writer = openWriter(t, etcd.endpoint)
    await writer.write([entry('a')])
    const { discovery, witness } = await discover(registry, 'web')

    const frozenAt = Date.now()
    proxy.freeze(direction)
    const stale = nextEvent(discovery, 'stale')
    await within(5000, stale)
    const since = (await stale) as Date
    t.expect(discovery.staleSince).toEqual(since)
    t.expect(since.getTime() - frozenAt).toBeLessThan(1000)
    t.expect(since.getTime() - frozenAt).toBeGreaterThan(-1500)
    t.expect(discovery.instances.map(({ id }) => id)).toEqual(['a'])

    await writer.writeEach([entry('b'), entry('c'), { del: '/services/web/a' }])
    await proxy.restore()
    await expectConverged(witness, etcd, '/services/web/')
    t.expect(discovery.staleSince).toBeUndefined()
  },
)

test.concurrent('a watch that stays silent from its beginning on is listed anew: its backlog may choke the link', async t => {
  const etcd = await startEtcd(t)
  const proxy = await startProxy(t, etcd)
  const registry = openRegistry(t, proxy.endpoint)
  const writer = openWriter(t, etcd.endpoint)
  await writer.write([entry('a')])
  const discovery = registry.discover('web')
  const witness = new Witness(discovery)
  discovery.once('fresh', () => proxy.freeze('down'))
  await nextEvent(discovery, 'stale')
  await writer.write([entry('b')])
  await proxy.restore()
  await expectConverged(witness, etcd, '/services/web/')
  t.expect(registry.status().watches[0]).toMatchObject({ relists: 1, repairs: 0 })
})

test.concurrent('etcd gone: the last table stays and says that it is stale, and since when', async t => {
  const etcd = await startEtcd(t)
  const registry = openRegistry(t, etcd.endpoint)
  const writer = openWriter(t, etcd.endpoint)
  await writer.write([entry('a'), entry('b')])
  const { discovery, witness } = await discover(registry, 'web')
  const before = discovery.instances
  const told = nextEvent(discovery, 'stale')
  await etcd.kill()
  const since = await told
  t.expect(discovery.instances).toBe(before)
  t.expect(discovery.pick()).toBeDefined()
  t.expect(discovery.staleSince).toEqual(since)
  t.expect(registry.status().watches[0]).toMatchObject({
    stale: true,
    instances: 2,
    staleSince: discovery.staleSince!.toISOString(),
  })
  t.expect(witness.changes).toHaveLength(1)

  await etcd.restart()
  await writer.write([entry('c')])
  await expectConverged(witness, etcd, '/services/web/')
  t.expect(registry.status().watches[0]).toMatchObject({ stale: false, relists: 0, lastError: undefined })
})

test.concurrent('etcd away at the start: stale and empty, ready() can be aborted, and comes true later', async t => {
  const etcd = await startEtcd(t)
  const writer = openWriter(t, etcd.endpoint)
  await writer.write([entry('a')])
  await etcd.kill()
  const registry = openRegistry(t, etcd.endpoint)
  const discovery = registry.discover('web')
  const witness = new Witness(discovery)
  t.expect(discovery.instances).toEqual([])
  t.expect(discovery.stale).toBe(true)
  t.expect(discovery.pick()).toBeUndefined()
  const abort = new AbortController()
  const aborted = discovery.ready({ signal: abort.signal })
  const patient = discovery.ready()
  const cause = new Error('enough')
  abort.abort(cause)
  await t.expect(aborted).rejects.toMatchObject({ code: 'ERR_ABORTED', cause })
  await t
    .expect(discovery.ready({ signal: AbortSignal.abort() }))
    .rejects.toMatchObject({ name: 'AbortError' })
  await etcd.restart()
  await patient
  await expectConverged(witness, etcd, '/services/web/')
})

test.concurrent('instances are empty and stale until the first list', async t => {
  const etcd = await startEtcd(t)
  const registry = openRegistry(t, etcd.endpoint)
  const discovery = registry.discover('web')
  t.expect(discovery).toMatchObject({ instances: [], stale: true, revision: 0n })
  t.expect(discovery.staleSince).toBeInstanceOf(Date)
  await nextEvent(discovery, 'fresh')
  t.expect(discovery).toMatchObject({ instances: [], stale: false, staleSince: undefined })
  t.expect(discovery.revision).toBeGreaterThan(0n)
})

test.concurrent('a discovery closed while etcd is away waits for nothing', async t => {
  const etcd = await startEtcd(t)
  await etcd.kill()
  const registry = openRegistry(t, etcd.endpoint)
  const discovery = registry.discover('web')
  const ready = discovery.ready()
  await discovery.close()
  await t.expect(ready).rejects.toMatchObject({ code: 'ERR_CLOSED' })
  await registry.close()
})
