import { createRegistry, type FormatName, type Registry, type ServiceInstance } from '@etcd-register/core'
import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FORMATS } from '../../src/formats/index.ts'
import { leases, rows } from '../support/etcdctl-table.ts'
import { leaseOf } from '../support/lease-of.ts'
import { within } from '../support/timed.ts'
import { until } from '../support/until.ts'
import { aRegistry, orders, registered } from '../support/write-side.ts'

let etcd: EtcdMember

beforeAll(async () => {
  etcd = await startEtcdBinary()
})
afterAll(() => etcd.stop())

const formats = Object.values(FORMATS)
const read = formats.filter(({ capabilities }) => capabilities.read)
const written = formats.filter(({ capabilities }) => !capabilities.read)

/** Of the service with this name, wherever they are. */
const keysOf = async (name: string) => (await rows(etcd, '')).filter(({ key }) => key.includes(name))

describe.each(read.map(({ name }) => name as FormatName))('a fleet that speaks %s', format => {
  const name = `orders-${format}`
  const aService = () => orders({ name })

  it('has an instance while it is registered, and under a new lease it is the same one', async test => {
    const registry = aRegistry(test, etcd, { format })
    const discovery = aRegistry(test, etcd, { format }).discover(name)
    await discovery.ready()
    const seen: (readonly ServiceInstance[])[] = []
    discovery.on('change', ({ instances }) => seen.push(instances))

    const registration = await registered(registry, aService())
    const [row] = await keysOf(name)
    expect(row).toMatchObject({ key: registration.instance.key, lease: leaseOf(registry).id })
    await until(() => discovery.instances.length === 1)
    expect(discovery.pick()).toMatchObject({ host: '192.0.2.1', port: 8000, name, key: row!.key })

    await etcd.etcdctl('lease', 'revoke', row!.lease)
    const again = () => registration.state === 'registered' && leaseOf(registry).losses === 1
    await until(async () => again() && (await keysOf(name)).length === 1)
    const [renewed] = await keysOf(name)
    expect(renewed!.lease).not.toBe(row!.lease)
    await until(() => discovery.instances[0]?.key === renewed!.key)
    expect(discovery.instances).toMatchObject([{ host: '192.0.2.1', port: 8000 }])
    expect(Math.max(...seen.map(instances => instances.length))).toBe(1)
    expect(registration.instance.key).toBe(renewed!.key)

    await registration.deregister()
    expect(await keysOf(name)).toEqual([])
    await until(() => discovery.instances.length === 0)
    expect(await leases(etcd)).toEqual([])
  })

  it('has the lease and the id that the others of the fleet have, and after a crash the same one', async test => {
    const registries = [1, 2].map(() => createRegistry({ hosts: etcd.endpoint, format }))
    test.onTestFinished(() => Promise.all(registries.map(registry => registry.close())).then(() => {}))
    const [first, second] = registries as [Registry, Registry]
    const { instance } = await registered(first, aService())
    expect(leaseOf(first).ttl).toBe((FORMATS[format].defaults?.ttl ?? 10) * 1000)
    expect((await registered(second, aService())).instance.id).toBe(instance.id)
    const discovery = aRegistry(test, etcd, { format }).discover(name)
    await discovery.ready()
    expect(discovery.instances).toHaveLength(1)
  })

  it('calls nobody who is suspended, and everybody who is back', async test => {
    const registration = await registered(aRegistry(test, etcd, { format }), aService())
    const reader = aRegistry(test, etcd, { format })
    const discovery = reader.discover(name)
    await until(() => discovery.pick() !== undefined)
    expect(await reader.services()).toContain(name)
    await registration.suspend()
    await until(() => discovery.pick() === undefined)
    expect((await keysOf(name)).length).toBe(FORMATS[format].capabilities.status ? 1 : 0)
    await registration.resume()
    await until(() => discovery.pick() !== undefined)
    await registration.update({ weight: 0 })
    await until(() => discovery.pick() === undefined)
    await registration.update({ weight: 100 })
    await until(() => discovery.pick() !== undefined)
    await registration.deregister()
    expect(await keysOf(name)).toEqual([])
  })

  it('an instance whose key somebody deletes is back within a second', async test => {
    const registration = await registered(aRegistry(test, etcd, { format }), aService())
    const [before] = await keysOf(name)
    const back = new Promise(resolve => registration.once('registered', resolve))
    await etcd.etcdctl('del', before!.key)
    await within(1000, back)
    const { key, value, lease } = before!
    expect(await keysOf(name)).toMatchObject([{ key, value, lease }])
    await registration.deregister()
  })
})

describe.each(written.map(({ name }) => name as FormatName))('%s, which is only written', format => {
  it('has a key while it is registered, and none while it is suspended', async test => {
    const registry = aRegistry(test, etcd, { format })
    const registration = await registered(registry, orders({ name: 'edge' }))
    const entries = await keysOf('edge')
    expect(entries[0]!.key).toBe(registration.instance.key)
    for (const { lease } of entries) expect(lease).toBe(leaseOf(registry).id)
    await registration.suspend()
    expect(await keysOf('edge')).toEqual([])
    await registration.resume()
    expect(await keysOf('edge')).toMatchObject(entries.map(({ key, value }) => ({ key, value })))
    await registration.deregister()
    expect(await keysOf('edge')).toEqual([])
  })

  it('cannot be discovered, which is said at once', async test => {
    const registry = aRegistry(test, etcd, { format })
    const error = { code: 'ERR_INVALID_OPTION', message: expect.stringContaining('only written') }
    expect(() => registry.discover('edge')).toThrow(expect.objectContaining(error))
    await expect(registry.services()).rejects.toMatchObject(error)
    const both = aRegistry(test, etcd, { format: [format, 'json'] })
    await both.discover('edge').ready()
    for (const asked of [format, ['json' as const, format]])
      expect(() => both.discover('edge', { format: asked })).toThrow(expect.objectContaining(error))
  })
})
