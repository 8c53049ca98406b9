import { describe, expect, it } from 'vitest'
import { revision, rows } from '../support/etcdctl-table.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { aLink, anEtcd, aRegistry, orders, registered } from '../support/write-side.ts'

forbidUnhandled()

const versionIn = (value: string) => (JSON.parse(value) as { version: string }).version

describe.concurrent('a change of version in go-micro, whose caches keep nodes by version and id', () => {
  it('deletes the key first, in a revision of its own; other formats have one write', async test => {
    const etcd = await anEtcd(test)
    const registration = await registered(aRegistry(test, etcd, { format: ['go-micro', 'json'] }))
    const before = await rows(etcd)
    await registration.update({ version: 'v2' })
    const after = await rows(etcd)
    expect(after.map(({ value }) => versionIn(value))).toEqual(['v2', 'v2'])
    expect(await revision(etcd)).toBe(before[0]!.modRevision + 2)
    // One that was deleted begins anew.
    expect(after).toMatchObject([
      { key: expect.stringMatching(/^\/micro/), version: 1, modRevision: before[0]!.modRevision + 2 },
      { key: expect.stringMatching(/^\/services/), version: 2, modRevision: before[0]!.modRevision + 2 },
    ])
  })

  it('does so too over the key of a process that crashed', async test => {
    const etcd = await anEtcd(test)
    const link = await aLink(test, etcd)
    await registered(aRegistry(test, link, { format: 'go-micro' }), orders({ version: 'v1' }))
    await link.cut()
    const [before] = await rows(etcd)
    const again = aRegistry(test, etcd, { format: 'go-micro' })
    await registered(again, orders({ version: 'v2' }))
    const [after] = await rows(etcd)
    expect(after).toMatchObject({ key: before!.key, version: 1, modRevision: before!.modRevision + 2 })
    expect(versionIn(after!.value)).toBe('v2')
    const third = aRegistry(test, etcd, { format: 'go-micro' })
    await registered(third, orders({ version: 'v2' }))
    expect((await rows(etcd))[0]).toMatchObject({ version: 2, modRevision: after!.modRevision + 1 })
  })
})

describe.concurrent('a key that is deleted before it is written', () => {
  it('stays with the newer process, also where the older one writes in between', async test => {
    const etcd = await anEtcd(test)
    const link = await aLink(test, etcd)
    const older = await registered(aRegistry(test, etcd, { format: 'go-micro' }))
    const newer = await registered(aRegistry(test, link, { format: 'go-micro' }))
    await until(() => older.state === 'conflict')
    link.delay(50)
    await newer.update({ version: 'v2' })
    expect(newer.state).toBe('registered')
    await until(() => older.state === 'conflict')
    expect((await rows(etcd)).map(({ value }) => versionIn(value))).toEqual(['v2'])
  })
})

describe.concurrent('an update that a format cannot carry', () => {
  it('writes nothing there, since each write is an event for every reader', async test => {
    const etcd = await anEtcd(test)
    const registration = await registered(aRegistry(test, etcd, { format: ['grpc', 'json'] }))
    const [before] = await rows(etcd, 'orders/')
    await registration.update({ metadata: { team: 'blue' } })
    expect(await rows(etcd, 'orders/')).toEqual([before])
    expect((await rows(etcd, '/services/'))[0]).toMatchObject({ version: 2 })
  })

  it('is done at once where no format carries it', async test => {
    const etcd = await anEtcd(test)
    const registration = await registered(aRegistry(test, etcd, { format: 'grpc' }))
    const before = await revision(etcd)
    await registration.update({ metadata: { team: 'blue' } })
    expect(registration.instance.metadata).toEqual({ team: 'blue' })
    expect(await revision(etcd)).toBe(before)
  })
})
