import { expect } from 'vitest'
import type { Answer } from '../support/etcd-client.ts'
import { conform, etcdVersion, eventsOf, keysOf, refusal, since } from './conform.ts'

const from35 = since('3.5')

const notFound = refusal(5, 'requested lease not found')

conform('Lease', (test, etcd) => {
  const grant = (TTL: number | string, ID: number | string = 0) => etcd.call('LeaseGrant', { TTL, ID })
  const left = (ID: string, keys = false) => etcd.call('LeaseTimeToLive', { ID, keys })

  test('a lease is granted with an id of the server, and makes no revision', async () => {
    const before = await etcd.revision()
    const { ID, TTL, error, header } = await grant(60)
    expect({ TTL, error, revision: Number(header.revision) }).toEqual({
      TTL: '60',
      error: '',
      revision: before,
    })
    expect(BigInt(ID)).toBeGreaterThan(0n)
    expect((await grant(60)).ID).not.toBe(ID)
  })

  test('an id of the client is kept exactly, also beyond 2^53 and below 0', async () => {
    for (const id of ['9007199254740993', '9223372036854775807', '-5']) {
      expect((await grant(60, id)).ID).toBe(id)
      expect((await left(id)).ID).toBe(id)
      await etcd.put('a', '', { lease: id })
      expect((await etcd.range()).kvs[0].lease).toBe(id)
    }
  })

  test('an id that is taken is refused', async () => {
    await grant(60, 4711)
    await expect(grant(60, 4711)).rejects.toMatchObject(refusal(9, 'lease already exists'))
  })

  test('too short a time is raised to the shortest that there is', async () => {
    for (const ttl of [0, 1, -5]) expect((await grant(ttl)).TTL).toBe('1')
  })

  test('too long a time is refused', async () => {
    expect((await grant('9000000000')).TTL).toBe('9000000000')
    await expect(grant('9000000001')).rejects.toMatchObject(refusal(11, 'too large lease TTL'))
  })

  test('the time left is told, with and without keys', async () => {
    const { ID } = await grant(60)
    await etcd.put('b', '', { lease: ID })
    await etcd.put('a', '', { lease: ID })
    const without = await left(ID)
    expect(without).toMatchObject({ ID, grantedTTL: '60', keys: [] })
    expect(Number(without.TTL)).toBeGreaterThan(55)
    expect(Number(without.TTL)).toBeLessThan(61)
    const { keys } = await left(ID, true)
    expect(keys.map(String).sort()).toEqual([etcd.key('a'), etcd.key('b')])
  })

  test('of a lease that is not there, the time left is -1', async () => {
    expect(await left('123456')).toMatchObject({ ID: '123456', TTL: '-1', grantedTTL: '0', keys: [] })
  })

  test('a revoked lease takes its keys along, in one revision', async () => {
    const { ID } = await grant(60)
    await etcd.put('a', '', { lease: ID })
    await etcd.put('b', '', { lease: ID })
    await etcd.put('c')
    const before = await etcd.revision()
    const { header } = await etcd.call('LeaseRevoke', { ID })
    expect(Number(header.revision)).toBe(before + 1)
    expect(keysOf(await etcd.range())).toEqual(['c'])
    expect((await left(ID)).TTL).toBe('-1')
  })

  test('a revoked lease without keys makes no revision', async () => {
    const { ID } = await grant(60)
    const before = await etcd.revision()
    await etcd.call('LeaseRevoke', { ID })
    expect(await etcd.revision()).toBe(before)
  })

  test('a revocation of no lease is refused', async () => {
    await expect(etcd.call('LeaseRevoke', { ID: 123456 })).rejects.toMatchObject(notFound)
    const { ID } = await grant(60)
    await etcd.call('LeaseRevoke', { ID })
    await expect(etcd.call('LeaseRevoke', { ID })).rejects.toMatchObject(notFound)
  })

  test('a key hangs on the lease of its last put only', async () => {
    const [one, other] = [await grant(60), await grant(60)]
    await etcd.put('moved', '', { lease: one.ID })
    await etcd.put('moved', '', { lease: other.ID })
    await etcd.put('freed', '', { lease: one.ID })
    await etcd.put('freed')
    expect((await left(one.ID, true)).keys).toEqual([])
    await etcd.call('LeaseRevoke', { ID: one.ID })
    expect(keysOf(await etcd.range())).toEqual(['freed', 'moved'])
    await etcd.call('LeaseRevoke', { ID: other.ID })
    expect(keysOf(await etcd.range())).toEqual(['freed'])
  })

  test('a key that was deleted hangs on no lease', async () => {
    const { ID } = await grant(60)
    await etcd.put('a', '', { lease: ID })
    await etcd.call('DeleteRange', { key: etcd.key('a') })
    expect((await left(ID, true)).keys).toEqual([])
    await etcd.put('a')
    await etcd.call('LeaseRevoke', { ID })
    expect(keysOf(await etcd.range())).toEqual(['a'])
  })

  test('leases are listed', async () => {
    const { ID } = await grant(60)
    const ids = async () => (await etcd.call('LeaseLeases')).leases.map((lease: Answer) => lease.ID)
    expect(await ids()).toContain(ID)
    await etcd.call('LeaseRevoke', { ID })
    expect(await ids()).not.toContain(ID)
  })

  test('the list starts with the lease that ends first', async () => {
    const [long, short] = [await grant(5000), await grant(1000)]
    const ids = (await etcd.call('LeaseLeases')).leases.map((lease: Answer) => lease.ID)
    expect(ids.indexOf(short.ID)).toBeLessThan(ids.indexOf(long.ID))
  })

  test('a lease that is not renewed ends, and its keys with it', async () => {
    const { ID } = await grant(3)
    for (const key of ['b', 'a']) await etcd.put(key, '', { lease: ID })
    const { stream } = await etcd.watch({})
    const response = await stream.next()
    expect(eventsOf(response)).toEqual(['DELETE a', 'DELETE b'])
    expect((await left(ID)).TTL).toBe('-1')
  })

  test('a lease that is renewed outlives its time', async () => {
    const [kept, lost] = [await grant(4), await grant(4)]
    await etcd.put('kept', '', { lease: kept.ID })
    await etcd.put('lost', '', { lease: lost.ID })
    const { stream } = await etcd.watch({})
    const keepalive = etcd.stream('LeaseKeepAlive')
    const timer = setInterval(() => keepalive.send({ ID: kept.ID }), 300)
    expect(eventsOf(await stream.next())).toEqual(['DELETE lost'])
    clearInterval(timer)
    expect(keysOf(await etcd.range())).toEqual(['kept'])
  })

  test('each renewal is answered with the granted time', async () => {
    const { ID } = await grant(60)
    const stream = etcd.stream('LeaseKeepAlive')
    for (let count = 0; count < 3; count++) {
      stream.send({ ID })
      expect(await stream.next()).toMatchObject({ ID, TTL: '60' })
    }
    stream.send({ ID })
    expect(Number((await stream.next()).header.revision)).toBe(await etcd.revision())
  })

  test('one stream renews many leases', async () => {
    const [one, other] = [await grant(60), await grant(70)]
    const stream = etcd.stream('LeaseKeepAlive')
    stream.send({ ID: one.ID })
    stream.send({ ID: other.ID })
    expect(await stream.next()).toMatchObject({ ID: one.ID, TTL: '60' })
    expect(await stream.next()).toMatchObject({ ID: other.ID, TTL: '70' })
  })

  test('a renewal of no lease is answered with no time, and the stream goes on', async () => {
    const { ID } = await grant(60)
    const stream = etcd.stream('LeaseKeepAlive')
    stream.send({ ID: 123456 })
    expect(await stream.next()).toMatchObject({ ID: '123456', TTL: '0' })
    stream.send({ ID })
    expect(await stream.next()).toMatchObject({ ID, TTL: '60' })
  })

  test('a renewal gives the full time again', async () => {
    const { ID } = await grant(60)
    await expect.poll(async () => Number((await left(ID)).TTL)).toBeLessThan(57)
    const stream = etcd.stream('LeaseKeepAlive')
    stream.send({ ID })
    await stream.next()
    expect(Number((await left(ID)).TTL)).toBeGreaterThan(57)
  })

  test('a client that ends its side ends the stream of renewals without an error', async () => {
    const stream = etcd.stream('LeaseKeepAlive')
    stream.end()
    expect(await stream.next()).toMatchObject({ code: 0 })
  })

  test('a delete of keys leaves the lease alone', async () => {
    const { ID } = await grant(60)
    await etcd.put('a', '', { lease: ID })
    await etcd.call('DeleteRange', { key: etcd.key('a') })
    expect(Number((await left(ID)).TTL)).toBeGreaterThan(50)
  })
})

conform('Cluster and Maintenance', (test, etcd) => {
  test('the one member is listed with its endpoint', async () => {
    const { members, header } = await etcd.call('MemberList')
    expect(members).toHaveLength(1)
    expect(members[0]).toMatchObject({ ID: header.member_id, isLearner: false })
    expect(header.revision).toBe('0')
    expect(members[0].clientURLs[0]).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
    expect(members[0].name).not.toBe('')
  })

  test('the member says that it leads, and which version it is', async () => {
    const status = await etcd.call('Status')
    expect(status).toMatchObject({ leader: status.header.member_id, isLearner: false, errors: [] })
    expect(status.version.startsWith(`${etcdVersion}.`)).toBe(true)
    for (const field of ['dbSize', 'dbSizeInUse', 'raftIndex', 'raftTerm', 'raftAppliedIndex']) {
      expect(Number(status[field])).toBeGreaterThan(0)
    }
  })

  test('its raft index grows with each write', async () => {
    const before = Number((await etcd.call('Status')).raftIndex)
    await etcd.put('a')
    expect(Number((await etcd.call('Status')).raftIndex)).toBeGreaterThan(before)
  })

  test(`there is no alarm, and the answer ${from35 ? 'has a header' : 'has no header'}`, async () => {
    const { alarms, header } = await etcd.call('Alarm')
    expect(alarms).toEqual([])
    expect(header === null).toBe(!from35)
  })

  test(`Status ${since('3.6') ? 'tells of storage, quota and downgrade' : 'tells nothing of storage, quota and downgrade'}`, async () => {
    const told = async () => {
      const { storageVersion, dbSizeQuota, downgradeInfo } = await etcd.call('Status')
      return { storageVersion, dbSizeQuota, downgradeInfo }
    }
    // for a moment after its start, etcd says that its storage is older
    await expect.poll(told).toEqual(
      since('3.6')
        ? {
            storageVersion: `${etcdVersion}.0`,
            dbSizeQuota: '2147483648',
            downgradeInfo: { enabled: false, targetVersion: '' },
          }
        : { storageVersion: '', dbSizeQuota: '0', downgradeInfo: null },
    )
  })

  test('it can be defragmented', async () => {
    expect((await etcd.call('Defragment')).header).not.toBeUndefined()
  })
})
