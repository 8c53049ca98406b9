import { createRequire } from 'node:module'
import { createRegistry, type Registry, type RegistryOptions } from '@etcd-register/core'
import { startEtcdCluster } from '@etcd-register/testing'
import { describe, expect, test } from 'vitest'
import { nextEvent } from '../support/read-side.ts'
import { aRelay, type Relay } from '../support/relay.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { anEtcd, type Cleanup, orders, registered } from '../support/write-side.ts'

forbidUnhandled()

const require = createRequire(import.meta.url)
/** The copy that is used by etcd3, and so by the registry. */
const grpc = createRequire(require.resolve('etcd3'))('@grpc/grpc-js')

interface Users {
  /** Events of the registrations since they were registered. */
  readonly events: string[]
  /** Resets all connections; resolves when every discovery has been stale and is fresh again. */
  recover(): Promise<void>
}

type Create = (options: RegistryOptions) => Registry

/** So many registries, each with a registration and a discovery that is fresh. */
async function open(
  test: Cleanup,
  relay: Relay,
  count: number,
  { create = createRegistry, ...options }: RegistryOptions & { create?: Create } = {},
): Promise<Users> {
  const events: string[] = []
  const discoveries = await Promise.all(
    Array.from({ length: count }, async (_, i) => {
      // A busy machine may take longer than 10 s, which is enough otherwise.
      const registry = create({ hosts: relay.endpoint, ttl: 30, logger: false, ...options })
      test.onTestFinished(() => registry.close())
      const registration = await registered(registry, orders({ port: 8000 + i }))
      registration.on('state', state => events.push(`${i} ${state}`))
      const discovery = registry.discover('orders')
      await discovery.ready()
      if (discovery.stale) await nextEvent(discovery, 'fresh')
      return discovery
    }),
  )
  return {
    events,
    async recover() {
      const stale = discoveries.map(discovery => nextEvent(discovery, 'stale'))
      relay.drop()
      await Promise.all(stale)
      const fresh = () => discoveries.every(discovery => !discovery.stale)
      await until(fresh, { what: 'every discovery is fresh', within: 60_000 })
    },
  }
}

const givenUp = (relay: Relay) =>
  until(() => relay.silent === 0, { what: 'the mute connection is given up', within: 60_000 })

describe.concurrent('a connection that is accepted and stays mute', () => {
  test.for([1, 3, 6, 10])('costs %i registries in one process no lease', async (count, t) => {
    const relay = await aRelay(t, await anEtcd(t))
    const { events, recover } = await open(t, relay, count)
    relay.mute(1)
    await recover()
    await givenUp(relay)
    expect(events).toEqual([])
  })

  test('costs no lease where it is one over TLS', async t => {
    const etcd = await anEtcd(t, { tls: true })
    const relay = await aRelay(t, etcd)
    const { events, recover } = await open(t, relay, 3, { tls: { ca: etcd.tls!.ca } })
    relay.mute(1)
    await recover()
    await givenUp(relay)
    expect(events).toEqual([])
  })

  test('is the first one, and the registry is registered all the same', async t => {
    const relay = await aRelay(t, await anEtcd(t))
    relay.mute(3)
    await open(t, relay, 1)
    await givenUp(relay)
  })

  test('is not left to a second copy of this package', async t => {
    const { createRegistry: create }: { createRegistry: Create } = require('../../dist/index.cjs')
    const relay = await aRelay(t, await anEtcd(t))
    const copies = await Promise.all([open(t, relay, 2), open(t, relay, 2, { create, namespace: '/copy' })])
    relay.mute(1)
    await Promise.all(copies.map(({ recover }) => recover()))
    await givenUp(relay)
    expect(copies.flatMap(({ events }) => events)).toEqual([])
  })

  test('for longer than anybody waits, and then answers, is used: attempts go on, and get fewer', async t => {
    const relay = await aRelay(t, await anEtcd(t))
    relay.delay(4000)
    await open(t, relay, 1)
    // Each of three services begins one at 0, 0.8, 1.6, 2.4 and 3.2 s.
    expect(relay.accepted).toBeLessThanOrEqual(18)
    await until(() => relay.connections === 3)
  })

  test('of another gRPC client of the process is not handed to a registry', async t => {
    const relay = await aRelay(t, await anEtcd(t))
    relay.mute(1)
    void anotherClient(t, relay).catch(() => {})
    await until(() => relay.silent === 1)
    await open(t, relay, 1)
    expect(relay.silent).toBe(1)
  })

  test('of a registry is not handed to another gRPC client of the process', async t => {
    const relay = await aRelay(t, await anEtcd(t))
    relay.mute(1)
    const registered = open(t, relay, 1)
    await until(() => relay.silent === 1)
    await anotherClient(t, relay)
    await registered
  })
})

/** Connects as an app does that calls a service of its own. */
function anotherClient(t: Cleanup, relay: Relay): Promise<void> {
  const client = new grpc.Client(`127.0.0.1:${relay.port}`, grpc.credentials.createInsecure())
  t.onTestFinished(() => client.close())
  return new Promise((resolve, reject) =>
    client.waitForReady(Number.POSITIVE_INFINITY, (error?: Error) => (error ? reject(error) : resolve())),
  )
}

test('three members behind one address, one of them frozen, keep the registrations', async t => {
  const cluster = await startEtcdCluster({ members: 3 })
  t.onTestFinished(() => cluster.stop())
  const relay = await aRelay(t, ...cluster.members)
  const { events, recover } = await open(t, relay, 6)
  await cluster.members[0]!.freeze()
  for (let times = 0; times < 4; times += 1) await recover()
  expect(events).toEqual([])
})
