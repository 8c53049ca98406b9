import { plainFormat } from '@etcd-register/core'
import { describe, expect, it } from 'vitest'
import { leases, revision, row, rows } from '../support/etcdctl-table.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import {
  aLink,
  anEtcd,
  aRegistry,
  eventsOf,
  orders,
  registered,
  untilExactly,
} from '../support/write-side.ts'

forbidUnhandled()

describe.concurrent('what is published', () => {
  it('an update is in etcd when it resolves, under the same lease, and the rest stays', async test => {
    const etcd = await anEtcd(test)
    const registration = await registered(aRegistry(test, etcd), orders({ zone: 'a', metadata: { a: '1' } }))
    const before = await row(etcd)
    const events = eventsOf(registration)
    await registration.update({ weight: 7, metadata: { b: '2' } })
    const after = await row(etcd)
    expect(after).toMatchObject({ lease: before!.lease, version: 2 })
    expect(JSON.parse(after!.value)).toEqual({
      ...JSON.parse(before!.value),
      weight: 7,
      metadata: { b: '2' },
    })
    expect(registration.instance).toMatchObject({ weight: 7, zone: 'a', metadata: { b: '2' } })
    expect(events).toEqual([])
  })

  it('an update does not fail by a refusal of what was wanted before, which comes while it waits', async test => {
    const etcd = await anEtcd(test, { args: ['--max-request-bytes', '4000'] })
    const link = await aLink(test, etcd)
    const registry = aRegistry(test, link, { ttl: 60 })
    const registration = registry.register(orders({ metadata: { note: 'x'.repeat(5000) } }))
    await until(() => registry.status().registrations[0]!.lastError?.code === 'ERR_ETCD_REQUEST')
    const writes = async () => (await etcd.requests()).Txn ?? 0
    link.freeze('down')
    const before = await writes()
    await until(async () => (await writes()) > before)
    const updated = registration.update({ metadata: {} })
    await link.restore()
    await updated
    expect(registration.state).toBe('registered')
    expect(registry.warnings).toHaveLength(2)
  })

  it('a write that is refused is told of until it is not, whatever is renewed meanwhile', async test => {
    const etcd = await anEtcd(test, { args: ['--max-request-bytes', '4000'] })
    const registry = aRegistry(test, etcd, { ttl: 6 })
    const registration = await registered(registry)
    let renewals = 0
    registration.on('renewed', () => void renewals++)
    const refused = registration.update({ metadata: { note: 'x'.repeat(5000) } })
    await expect(refused).rejects.toMatchObject({ code: 'ERR_ETCD_REQUEST' })
    const before = renewals
    await until(() => renewals >= before + 2)
    expect(registry.warnings).toHaveLength(1)
    await registration.update({ metadata: {} })
    expect(registry.warnings).toHaveLength(2)
  })

  it('many updates at once end with the last one, in few writes', async test => {
    const etcd = await anEtcd(test)
    const registration = await registered(aRegistry(test, etcd))
    await Promise.all(Array.from({ length: 100 }, (_, weight) => registration.update({ weight })))
    const found = await row(etcd)
    expect(JSON.parse(found!.value).weight).toBe(99)
    expect(found!.version).toBeLessThan(5)
  })

  it('an update that came while another was being written is in etcd when it resolves', async test => {
    const etcd = await anEtcd(test)
    const link = await aLink(test, etcd)
    const registration = await registered(aRegistry(test, link, { ttl: 10 }))
    link.delay(300)
    const first = registration.update({ weight: 5 })
    await until(async () => (await row(etcd))!.version === 2)
    await registration.update({ weight: 6 })
    expect(JSON.parse((await row(etcd))!.value)).toMatchObject({ weight: 6 })
    await first
    await link.restore()
  })

  it('an update that is too large is refused, and what was there stays', async test => {
    const etcd = await anEtcd(test)
    const registration = await registered(aRegistry(test, etcd))
    const before = await row(etcd)
    const big = { metadata: Object.fromEntries([...'abcde'].map(name => [name, 'x'.repeat(16_000)])) }
    await expect(registration.update(big)).rejects.toMatchObject({ code: 'ERR_INVALID_OPTION' })
    await expect(registration.update({ weight: -1 })).rejects.toMatchObject({ code: 'ERR_INVALID_OPTION' })
    await expect(registration.update({ port: 1 } as never)).rejects.toMatchObject({
      code: 'ERR_INVALID_OPTION',
    })
    expect(await row(etcd)).toEqual(before)
    expect(registration.instance.metadata).toEqual({})
    await registration.update({ weight: 2 })
    expect(JSON.parse((await row(etcd))!.value)).toMatchObject({ weight: 2, metadata: {} })
  })

  it('an instance that is suspended says so in etcd until it resumes', async test => {
    const etcd = await anEtcd(test)
    const registration = await registered(aRegistry(test, etcd))
    const states: string[] = []
    registration.on('state', state => states.push(state))
    const status = async () => JSON.parse((await row(etcd))!.value).status
    await registration.suspend()
    expect(await status()).toBe('suspended')
    expect(registration.state).toBe('suspended')
    await registration.update({ weight: 3 })
    expect(await status()).toBe('suspended')
    await registration.resume()
    expect(await status()).toBe('up')
    expect(states).toEqual(['suspended', 'registered'])
    await untilExactly(etcd, [registration])
  })

  it('an instance stays suspended over the loss of its lease', async test => {
    const etcd = await anEtcd(test)
    const registration = await registered(aRegistry(test, etcd))
    await registration.suspend()
    const states: string[] = []
    registration.on('state', state => states.push(state))
    await etcd.restart({ wipe: true })
    await until(() => states.at(-1) === 'suspended')
    expect(states).toEqual(['lost', 'suspended'])
    expect(JSON.parse((await row(etcd))!.value).status).toBe('suspended')
    await registration.deregister()
    expect(await rows(etcd)).toEqual([])
  })

  it('an instance can be registered as suspended, and resume later', async test => {
    const etcd = await anEtcd(test)
    const registration = aRegistry(test, etcd).register(orders())
    await registration.suspend()
    expect(JSON.parse((await row(etcd))!.value).status).toBe('suspended')
    await registration.resume()
    await untilExactly(etcd, [registration])
  })

  it('where the format has no status, suspending takes the key out and resuming brings it back', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { format: plainFormat({ singleKey: true }) })
    const registration = await registered(registry)
    const found = await untilExactly(etcd, [registration])
    expect(found).toMatchObject([{ key: '/services/orders', value: '192.0.2.1:8000' }])
    const events = eventsOf(registration)
    await registration.suspend()
    expect(await rows(etcd)).toEqual([])
    expect(await leases(etcd)).toHaveLength(1)
    expect(registration.state).toBe('suspended')
    await registration.resume()
    expect(await untilExactly(etcd, [registration])).toMatchObject([{ version: 1, lease: found[0]!.lease }])
    expect(events).toEqual(['registered'])

    // The guard is on again.
    await etcd.etcdctl('del', '/services/orders')
    await until(() => events.at(-1) === 'registered' && events.length === 3)
    await untilExactly(etcd, [registration])
    await registration.suspend()
    await registration.deregister()
    expect(await rows(etcd)).toEqual([])
    expect(await leases(etcd)).toEqual([])
  })

  it('a key that is not there while it gets no traffic is told, and kept from others of its registry', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { format: 'grpc' })
    const registration = await registered(registry, orders({ weight: 0 }))
    expect(await rows(etcd, '')).toEqual([])
    expect(registration.instance.key).toBe('orders/192.0.2.1:8000')
    const second = registry.register(orders())
    await expect(second.ready()).rejects.toMatchObject({ code: 'ERR_CONFLICT' })
    await second.deregister()
    await registration.update({ weight: 1 })
    await untilExactly(etcd, [registration], { prefix: 'orders/' })
  })

  it('an id that another process took while we were suspended stays with it', async test => {
    const etcd = await anEtcd(test)
    const plain = { format: 'plain' } as const
    const registration = await registered(aRegistry(test, etcd, plain))
    await registration.suspend()
    const other = await registered(aRegistry(test, etcd, plain))
    const found = await untilExactly(etcd, [other])
    await expect(registration.resume()).rejects.toMatchObject({ code: 'ERR_CONFLICT' })
    expect(registration.state).toBe('conflict')
    expect(await untilExactly(etcd, [other])).toEqual(found)
    await other.deregister()
    await untilExactly(etcd, [registration])
  })

  it('several formats are written in one transaction and leave together', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, {
      format: ['json', plainFormat({ singleKey: true, namespace: '/plain' })],
    })
    const registration = registry.register(orders())
    await registration.ready()
    const [single, json] = await rows(etcd, '')
    expect(single).toMatchObject({ key: '/plain/orders', value: '192.0.2.1:8000', version: 1 })
    expect(json).toMatchObject({ key: registration.instance.key, version: 1, lease: single!.lease })
    expect(json!.modRevision).toBe(single!.modRevision)

    await registration.suspend()
    expect(await rows(etcd, '')).toMatchObject([{ key: json!.key, modRevision: await revision(etcd) }])
    await registration.resume()
    const again = await rows(etcd, '')
    expect(again.map(({ key }) => key)).toEqual([single!.key, json!.key])
    expect(new Set(again.map(({ modRevision }) => modRevision)).size).toBe(1)

    const events = eventsOf(registration)
    await etcd.etcdctl('del', single!.key)
    await until(() => events.includes('registered'))
    expect(await rows(etcd, '')).toHaveLength(2)
    await registration.deregister()
    expect(await rows(etcd, '')).toEqual([])
  })
})
