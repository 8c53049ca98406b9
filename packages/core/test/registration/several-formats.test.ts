import { grpcFormat } from '@etcd-register/core'
import { describe, expect, it } from 'vitest'
import { FACTORIES } from '../../src/formats/index.ts'
import { leases, revision, rows } from '../support/etcdctl-table.ts'
import { leaseOf } from '../support/lease-of.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { anEtcd, aRegistry, eventsOf, orders, registered } from '../support/write-side.ts'

forbidUnhandled()

/** The first one that has a status is `json`, so that of a suspended instance one key stays. */
const ALL = Object.entries(FACTORIES).map(([name, factory]) => {
  // These would share the keys of others.
  const namespace = name === 'plain' || name === 'grpc' ? { namespace: name } : {}
  return factory(namespace as never)
})
/** In that of Traefik an instance has two. */
const KEYS = ALL.length + 1

describe.concurrent('an instance in several formats at once', () => {
  it('is written, changed, suspended and taken out as one', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { format: ALL })
    const other = await registered(registry, orders({ name: 'other' }))
    const before = await rows(etcd, '')
    const registration = await registered(registry, orders())
    const ours = async () => {
      const old = new Set(before.map(({ key }) => key))
      return (await rows(etcd, '')).filter(({ key }) => !old.has(key))
    }
    const together = async (count: number) => {
      const found = await ours()
      expect(found).toHaveLength(count)
      const { id } = registry.status().registrations[1]!.lease
      for (const row of found) expect(row).toMatchObject({ lease: id, modRevision: found[0]!.modRevision })
    }
    expect(await ours()).toMatchObject(Array(KEYS).fill({ version: 1 }))
    await together(KEYS)

    const values = new Map((await ours()).map(({ key, value }) => [key, value]))
    await registration.update({ weight: 50 })
    const now = await revision(etcd)
    for (const { key, value, version, modRevision } of await ours()) {
      // Who does not carry it has no write.
      const isChanged = value !== values.get(key)
      expect({ key, version, isNow: modRevision === now }).toEqual({
        key,
        version: isChanged ? 2 : 1,
        isNow: isChanged,
      })
    }
    await registration.suspend()
    await together(1)
    expect((await ours())[0]).toMatchObject({
      key: registration.instance.key,
      modRevision: await revision(etcd),
    })
    await registration.resume()
    await together(KEYS)

    await registration.deregister()
    expect(await rows(etcd, '')).toEqual(before)
    expect(await leases(etcd)).toHaveLength(1)
    await other.deregister()
    expect(await rows(etcd, '')).toEqual([])
  })

  it('leaves in two steps: it is announced where that can be said and gone elsewhere, then it is gone', async test => {
    const etcd = await anEtcd(test)
    const registration = await registered(aRegistry(test, etcd, { format: ['json', 'grpc', 'kitex'] }))
    const before = await revision(etcd)
    await registration.deregister()
    const announced = await etcd.etcdctl('get', '--prefix', '', `--rev=${before + 1}`, '--print-value-only')
    expect(JSON.parse(announced)).toMatchObject({ id: '192.0.2.1:8000', status: 'leaving' })
    expect(await revision(etcd)).toBe(before + 2)
  })

  it('any of its keys is back if somebody deletes it, and the others are untouched', async test => {
    const etcd = await anEtcd(test)
    const registration = await registered(aRegistry(test, etcd, { format: ALL }))
    const plain = async () => (await rows(etcd, '')).map(({ key, value, lease }) => ({ key, value, lease }))
    const before = await plain()
    expect(before).toHaveLength(KEYS)
    for (const { key } of before) {
      const events = eventsOf(registration)
      const back = new Promise(resolve => registration.once('registered', resolve))
      await etcd.etcdctl('del', key)
      await back
      expect(await plain()).toEqual(before)
      expect(events).toEqual(['lost key-deleted', 'registered'])
    }
  })

  it('in conflict over one key it is out under all, until that is free', async test => {
    const etcd = await anEtcd(test)
    const older = await registered(aRegistry(test, etcd, { format: ['json', 'kratos', 'grpc'] }))
    const events = eventsOf(older)
    const newer = await registered(aRegistry(test, etcd, { format: 'grpc' }))
    await until(async () => (await rows(etcd, '')).length === 1)
    expect(await rows(etcd, '')).toMatchObject([{ key: newer.instance.key }])
    expect(older.state).toBe('conflict')
    await expect(older.update({ weight: 7 })).rejects.toMatchObject({
      code: 'ERR_CONFLICT',
      message: expect.stringContaining(`stays out of ${newer.instance.key}, `),
    })
    expect(await rows(etcd, '')).toHaveLength(1)

    await newer.deregister()
    await until(() => older.state === 'registered')
    expect(await rows(etcd, '')).toHaveLength(3)
    expect(events).toEqual(['conflict', 'registered'])
  })

  it.for(['json', 'grpc'] as const)(
    'one that starts without traffic takes over the keys of a run that was killed, once it wants them (first: %s)',
    async (first, test) => {
      const etcd = await anEtcd(test)
      const [, lease] = /lease (\w+) granted/.exec(await etcd.etcdctl('lease', 'grant', '60'))!
      const value = '{"Op":0,"Addr":"192.0.2.1:8000","Metadata":null}'
      await etcd.etcdctl('put', 'orders/192.0.2.1:8000', value, `--lease=${lease}`)
      const format = first === 'json' ? (['json', 'grpc'] as const) : (['grpc'] as const)
      const registry = aRegistry(test, etcd, { format: [...format] })
      const registration = await registered(registry, orders({ weight: 0 }))
      await registration.update({ weight: 100 })
      const { id } = leaseOf(registry)
      expect(registration.state).toBe('registered')
      expect(await rows(etcd, 'orders/')).toMatchObject([{ key: 'orders/192.0.2.1:8000', lease: id }])

      await registration.suspend()
      const newer = await registered(aRegistry(test, etcd, { format: 'grpc' }))
      await expect(registration.resume()).rejects.toMatchObject({
        code: 'ERR_CONFLICT',
        message: expect.stringContaining('stays out of orders/192.0.2.1:8000, '),
      })
      expect(newer.state).toBe('registered')
    },
  )

  it.for([{ format: ['json', 'grpc'] as const }, { format: ['grpc'] as const }])(
    'one that starts without traffic stays out of the keys of who came after it, until they are free ($format)',
    async ({ format }, test) => {
      const etcd = await anEtcd(test)
      const older = await registered(aRegistry(test, etcd, { format: [...format] }), orders({ weight: 0 }))
      const newer = await registered(aRegistry(test, etcd, { format: 'grpc' }))
      await older.update({ version: '2' })
      await expect(older.update({ weight: 100 })).rejects.toMatchObject({ code: 'ERR_CONFLICT' })
      expect(older.state).toBe('conflict')
      expect(newer.state).toBe('registered')
      await newer.deregister()
      await until(() => older.state === 'registered')
      expect(await rows(etcd, '')).toHaveLength(format.length)
    },
  )

  it('in conflict over two of three keys the third is not left behind, and the two are left alone', async test => {
    const etcd = await anEtcd(test)
    const older = await registered(aRegistry(test, etcd, { format: ['json', 'kratos', 'grpc'] }))
    const newer = await registered(aRegistry(test, etcd, { format: ['json', 'grpc'] }))
    await until(async () => (await rows(etcd, '')).length === 2)
    // Written over once, and not deleted.
    expect(await rows(etcd, '')).toMatchObject([{ version: 2 }, { version: 2 }])
    expect(older.state).toBe('conflict')
    await newer.deregister()
    await until(async () => (await rows(etcd, '')).length === 3)
  })

  it.for([{ format: ['json', 'grpc'] as const }, { format: ['grpc'] as const }])(
    'in conflict nothing is written but what takes out its other keys ($format)',
    async ({ format }, test) => {
      const etcd = await anEtcd(test)
      const older = await registered(aRegistry(test, etcd, { format: [...format] }))
      const writes = async () => (await etcd.requests()).Txn!
      const before = await writes()
      await registered(aRegistry(test, etcd, { format: 'grpc' }))
      await until(async () => older.state === 'conflict' && (await rows(etcd, '')).length === 1)
      await older.deregister()
      expect(await rows(etcd, '')).toHaveLength(1)
      // The newer one sees the key and takes it, the older one takes out the others, and leaving is the end of its lease.
      expect((await writes()) - before).toBe(2 + (format.length - 1))
    },
  )

  it('a key that holds the lease moves with it, and neither a key nor a watch of the old one stays', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { format: ['json', 'go-zero'] })
    const registration = await registered(registry)
    const watchers = async () => (await etcd.metrics()).get('etcd_debugging_mvcc_watcher_total')
    await until(async () => (await watchers()) === 2)
    for (let losses = 1; losses <= 3; losses += 1) {
      const { id } = leaseOf(registry)
      await etcd.etcdctl('lease', 'revoke', id!)
      await until(() => registration.state === 'registered' && leaseOf(registry).losses === losses)
      const lease = leaseOf(registry).id!
      expect((await rows(etcd, '')).map(({ key }) => key)).toEqual([
        '/services/orders/192.0.2.1:8000',
        `orders/${BigInt(`0x${lease}`)}`,
      ])
    }
    await until(async () => (await watchers()) === 2)
    expect(registry.status().registrations[0]!.keys).toHaveLength(2)
  })

  it('a second instance has a key of its own where that has the lease in it', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { format: 'go-zero' })
    await registered(registry)
    await registered(registry, orders({ port: 8001 }))
    expect(await rows(etcd, 'orders/')).toHaveLength(2)
  })

  it('that left and came again stays', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { format: ['json', 'go-zero'] })
    await registered(registry, orders({ name: 'other' }))
    await (await registered(registry)).deregister()
    const events = eventsOf(await registered(registry))
    const found = await rows(etcd, '')
    expect(found).toHaveLength(4)
    // Whatever watches their keys has seen that they are back.
    await registry.discover('orders', { format: ['json', 'go-zero'] }).ready()
    await registered(registry, orders({ name: 'third' }))
    expect((await rows(etcd, '')).filter(({ key }) => !key.includes('third'))).toEqual(found)
    expect(events).toEqual([])
  })
})

describe.concurrent('what a format cannot carry', () => {
  it('is an instance of a protocol that Traefik does not speak to servers: it has no key there, which is said', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { format: ['json', 'traefik'] })
    await registered(registry, orders({ protocol: 'tcp' }))
    expect((await rows(etcd, '')).map(({ key }) => key)).toEqual([expect.stringMatching(/^\/services\//)])
    expect(registry.warnings).toEqual([
      'format "traefik" cannot carry an instance of protocol tcp: readers of "orders" there will not see it',
    ])
  })

  it('is a host name, which DNS answers by a CNAME that may not stand beside addresses', async test => {
    const registry = aRegistry(test, await anEtcd(test), { format: 'skydns' })
    await registered(registry, orders())
    expect(registry.warnings).toEqual([])
    await registered(registry, orders({ host: 'db.example.org' }))
    expect(registry.warnings).toEqual([
      'format "skydns" cannot carry a host name beside addresses: readers of "orders" there will not see it',
    ])
  })

  it('is warned of once, for all formats in one line', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { format: ['json', 'kitex', 'go-zero'] })
    const registration = await registered(registry, orders({ zone: 'eu', weight: 50, metadata: { a: 'b' } }))
    const warning =
      'format "kitex" cannot carry zone; format "go-zero" cannot carry zone, weight, metadata: readers of "orders" there will not see it'
    expect(registry.warnings).toEqual([warning])
    await registration.update({ zone: 'us', weight: 70 })
    expect(registry.warnings).toEqual([warning])
    await registration.update({ weight: 7 })
    expect(registry.warnings.splice(1)).toEqual([
      'format "kitex" cannot carry the exact weight: readers of "orders" there will not see it',
    ])
    await registration.update({ version: '2' })
    expect(registry.warnings.slice(1)).toEqual([
      'format "kitex" cannot carry version; format "go-zero" cannot carry version: readers of "orders" there will not see it',
    ])
  })

  it('such as a second endpoint, which is at the host that was found', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { format: ['kratos', 'grpc'] })
    const endpoints = ['grpc://:9000', 'udp://[fd00::5]:53']
    const { instance } = await registered(registry, orders({ advertise: endpoints }))
    const expected = ['http://192.0.2.1:8000', 'grpc://192.0.2.1:9000', 'udp://[fd00::5]:53']
    expect(instance.endpoints).toEqual(expected)
    expect(registry.warnings).toEqual([
      'format "grpc" cannot carry endpoints: readers of "orders" there will not see it',
    ])
    const [row] = await rows(etcd, instance.key)
    expect(JSON.parse(row!.value)).toMatchObject({ endpoints: expected })
    const discovery = registry.discover('orders')
    await discovery.ready()
    expect(discovery.instances).toEqual([instance])
  })

  it('such as a protocol where none is written, unless it is the one that is expected there', async test => {
    const etcd = await anEtcd(test)
    const registry = aRegistry(test, etcd, { format: ['kratos', 'plain', 'go-zero', 'kitex', 'skydns'] })
    await registered(registry, orders({ protocol: 'grpc', advertise: ['tcp://:9000'] }))
    expect(registry.warnings).toEqual([
      'format "plain" cannot carry endpoints, protocol; format "go-zero" cannot carry endpoints; ' +
        'format "kitex" cannot carry endpoints; format "skydns" cannot carry endpoints, protocol: ' +
        'readers of "orders" there will not see it',
    ])
  })

  it.for([{ protocol: 'http' }, { advertise: ['http://:8001'] }])(
    'such as a protocol that was given, where readers take another one for granted: %j',
    async (given, test) => {
      const etcd = await anEtcd(test)
      const rest = grpcFormat({ protocol: 'http', namespace: 'rest' })
      const registry = aRegistry(test, etcd, { format: [...ALL, rest] })
      const registration = await registered(registry, orders(given))
      const discovery = registry.discover('orders', { format: 'grpc' })
      await discovery.ready()
      expect(discovery.instances).toMatchObject([{ endpoints: ['grpc://192.0.2.1:8000'] }])
      const told = registry.warnings[0]!.matchAll(
        /"([\w-]+)" cannot carry (?:endpoints, )?protocol \(([^)]*)\)/g,
      )
      expect([...told].map(([, name, how]) => `${name}: ${how}`)).toEqual([
        'go-zero: read as grpc',
        'kitex: read as tcp',
        'grpc: read as grpc',
      ])
      await registration.update({ weight: 100 })
      expect(registry.warnings).toHaveLength(1)
    },
  )

  it('such as metadata under a name that the format has a use for', async test => {
    const etcd = await anEtcd(test)
    const format = ['kratos' as const, 'go-micro' as const, grpcFormat({ metadata: true })]
    const registry = aRegistry(test, etcd, { format })
    const metadata = { weight: 'heavy', server: 'nginx', zone: 'a' }
    await registered(registry, orders({ zone: 'a', metadata }))
    expect(registry.warnings).toEqual([
      'format "kratos" cannot carry zone, metadata.weight; format "go-micro" cannot carry zone, metadata.server; ' +
        'format "grpc" cannot carry metadata.weight: readers of "orders" there will not see it',
    ])
  })

  it('is no matter where nothing of it was given, or the format was told to carry it', async test => {
    const etcd = await anEtcd(test)
    const quiet = aRegistry(test, etcd, { format: ALL })
    await registered(quiet)
    await registered(quiet, orders({ name: 'idle', weight: 0 }))
    const told = aRegistry(test, etcd, { format: grpcFormat({ metadata: true, namespace: 'told' }) })
    await registered(told, orders({ zone: 'eu', weight: 5, version: '1', metadata: { a: 'b' } }))
    expect([...quiet.warnings, ...told.warnings]).toEqual([])
  })
})
