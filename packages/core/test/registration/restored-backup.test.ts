import { plainFormat, type Registration } from '@etcd-register/core'
import type { EtcdMember, EtcdSnapshot } from '@etcd-register/testing'
import { describe, expect, it } from 'vitest'
import { revision, rows } from '../support/etcdctl-table.ts'
import { leaseOf } from '../support/lease-of.ts'
import { RawWriter } from '../support/raw-writer.ts'
import { seededChance } from '../support/seeded-chance.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { aLink, anEtcd, aRegistry, type Cleanup, orders, registered } from '../support/write-side.ts'

forbidUnhandled()

/** What others wrote into a restored store before its registrants reconnected, against the revision that they knew. */
const POSITIONS = { behind: -5, equal: 0, ahead: 50 } as const
type Position = keyof typeof POSITIONS

async function othersWrite(etcd: EtcdMember, position: Position, known: number): Promise<void> {
  const missing = known - (await revision(etcd)) + POSITIONS[position]
  const writer = new RawWriter(etcd.endpoint)
  for (let i = 0; i < missing; i += 1) await writer.put('/elsewhere', String(i))
  writer.close()
}

/** Each key, and the value as an object where it is one. */
async function stored(etcd: EtcdMember): Promise<Record<string, unknown>> {
  const found = (await rows(etcd)).filter(({ key }) => key !== '/elsewhere')
  return Object.fromEntries(
    found.map(({ key, value }) => [key, value.startsWith('{') ? JSON.parse(value) : value]),
  )
}

/** Resolves when what etcd stores is this. Dozens of connections are made anew for it. */
async function untilStored(etcd: EtcdMember, wanted: Record<string, unknown>): Promise<void> {
  const same = async () => {
    expect(await stored(etcd)).toEqual(wanted)
    return true
  }
  await until(same, { within: 60_000 })
}

/** An etcd, registrants behind a link, and a backup. The revision of the store grows well past that of the backup. */
async function aWorld(test: Cleanup, ttl = 60) {
  const etcd = await anEtcd(test)
  const link = await aLink(test, etcd)
  const restore = async (position: Position, snapshot: EtcdSnapshot) => {
    for (let i = 0; i < 10; i += 1) await etcd.etcdctl('put', '/elsewhere', 'before')
    const known = await revision(etcd)
    await link.cut()
    await etcd.restore(snapshot)
    await othersWrite(etcd, position, known)
    await link.restore()
  }
  return { etcd, link, restore, registry: aRegistry(test, link, { ttl }) }
}

describe.concurrent('a store that is restored from a backup has each registration as it is wanted', () => {
  it.for(Object.keys(POSITIONS) as Position[])(
    'where its revision is %s, against the one that was known',
    async (position, test) => {
      const { etcd, link, restore, registry } = await aWorld(test)
      const register = (port: number) => registered(registry, orders({ port }))
      const [suspended, updated, resumed, same] = await Promise.all([8000, 8001, 8002, 8004].map(register))
      // In the backup those that leave have a lease, which nobody renews.
      const gone = await registered(aRegistry(test, link, { ttl: 5 }), orders({ port: 8003 }))
      const many = await Promise.all(Array.from({ length: 20 }, (_, i) => register(8100 + i)))
      const severalFormats = aRegistry(test, link, {
        ttl: 60,
        format: ['json', plainFormat({ namespace: '/plain' })],
      })
      const hidden = await registered(severalFormats, orders({ name: 'hidden' }))
      const shown = await registered(severalFormats, orders({ name: 'shown' }))
      const older = await registered(
        aRegistry(test, link, { ttl: 60 }),
        orders({ name: 'twice', version: 'older' }),
      )
      const lastOne = await registered(aRegistry(test, link, { ttl: 3 }), orders({ name: 'last' }))
      await Promise.all([resumed!.suspend(), shown.suspend()])
      const snapshot = await etcd.snapshot()

      await suspended!.suspend()
      await updated!.update({ weight: 7 })
      await resumed!.resume()
      await gone.deregister()
      await lastOne.deregister()
      // The plain format has no status: an instance that is suspended is not there.
      await Promise.all([hidden.suspend(), shown.resume()])
      const added = await register(8005)
      const newLease = await registered(aRegistry(test, link, { ttl: 60 }), orders({ name: 'new' }))
      const newer = await registered(
        aRegistry(test, link, { ttl: 60 }),
        orders({ name: 'twice', version: 'newer' }),
      )
      await until(() => older.state === 'conflict')
      await Promise.all(many.map((registration, i) => registration.update({ weight: i })))
      const wanted = await stored(etcd)
      expect(Object.keys(wanted)).toHaveLength(30)

      await restore(position, snapshot)
      await untilStored(etcd, wanted)
      const up = [updated!, resumed!, same!, added, newLease, newer, shown, ...many]
      await until(() => up.every(({ state }) => state === 'registered'))
      await until(() => suspended!.state === 'suspended' && hidden.state === 'suspended')
      // It may come back first, and have the key until the newer one does.
      await until(() => older.state === 'conflict')
      expect(leaseOf(registry).losses).toBe(0)

      await newer.update({ weight: 3 })
      expect(newer.state).toBe('registered')
      await newer.deregister()
      await until(() => older.state === 'registered')
    },
  )

  it('where it is restored twice in a row', async test => {
    const { etcd, registry, restore } = await aWorld(test)
    const registration = await registered(registry)
    const snapshot = await etcd.snapshot()
    for (let weight = 1; weight < 3; weight += 1) {
      await registration.update({ weight })
      const wanted = await stored(etcd)
      await restore('ahead', snapshot)
      await untilStored(etcd, wanted)
    }
    const before = (await rows(etcd, '/services/'))[0]!
    await registration.suspend()
    expect((await rows(etcd, '/services/'))[0]).toMatchObject({ version: before.version + 1 })
  })

  it('where its revision was bumped and its history compacted, which etcd 3.6 and newer can', async test => {
    const { etcd, link, registry } = await aWorld(test)
    const [suspended, updated] = [
      await registered(registry),
      await registered(registry, orders({ port: 8001 })),
    ]
    const snapshot = await etcd.snapshot()
    await suspended.suspend()
    await updated.update({ weight: 7 })
    const added = await registered(registry, orders({ port: 8002 }))
    const wanted = await stored(etcd)

    await link.cut()
    await etcd.restore(snapshot, { bumpRevision: 1_000_000 }).catch(error => {
      test.skip(String(error).includes('needs 3.6 or newer'))
      throw error
    })
    await link.restore()
    await untilStored(etcd, wanted)
    expect(await revision(etcd)).toBeGreaterThan(1_000_000)
    await until(
      () =>
        [suspended, updated, added].map(({ state }) => state).join() === 'suspended,registered,registered',
    )
  })

  it('a newer process that took the id while the history was compacted keeps it', async test => {
    const { etcd, link, registry } = await aWorld(test)
    const older = await registered(registry)
    await link.cut()
    const newer = await registered(aRegistry(test, etcd), orders({ version: 'newer' }))
    await etcd.compact()
    const found = await rows(etcd)
    await link.restore()
    await until(() => older.state === 'conflict')
    expect(await rows(etcd)).toEqual(found)
    expect(newer.state).toBe('registered')
  })
})

it('whatever is updated, suspended, backed up, restored and compacted in any order, etcd ends with what is wanted', async test => {
  const chance = seededChance(11)
  const { etcd, registry, restore } = await aWorld(test)
  const services = await Promise.all([8000, 8001, 8002].map(port => registered(registry, orders({ port }))))
  let snapshot = await etcd.snapshot()
  const steps: ((registration: Registration) => unknown)[] = [
    registration => registration.update({ weight: 1 + chance.upTo(1000) }),
    registration => registration.update({ metadata: { step: String(chance.upTo(1000)) } }),
    registration => registration.suspend(),
    registration => registration.resume(),
    async () => {
      snapshot = await etcd.snapshot()
    },
    () => restore(chance.oneOf(Object.keys(POSITIONS) as Position[]), snapshot),
    () => etcd.compact(),
  ]
  for (let i = 0; i < 40; i += 1) await chance.oneOf(steps)(chance.oneOf(services))
  await restore('ahead', snapshot)

  const wanted = Object.fromEntries(
    services.map(({ instance }) => [
      instance.key,
      expect.objectContaining({
        weight: instance.weight,
        metadata: { ...instance.metadata },
        status: instance.status,
      }),
    ]),
  )
  await untilStored(etcd, wanted)
  await until(() =>
    services.every(
      ({ state, instance }) => state === (instance.status === 'up' ? 'registered' : 'suspended'),
    ),
  )
})
