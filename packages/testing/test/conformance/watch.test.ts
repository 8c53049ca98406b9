import { expect, type TestAPI } from 'vitest'
import type { Answer, EtcdStream } from '../support/etcd-client.ts'
import { conform, endOf, eventsOf, type Subject, since } from './conform.ts'

const from35 = since('3.5')

conform('Watch', (test, etcd) => {
  const putOrDelete = (key: string) =>
    key === 'a'
      ? { request_delete_range: { key: etcd.key(key) } }
      : { request_put: { key: etcd.key(key), value: '' } }
  const del = (key: string) => etcd.call('DeleteRange', { key: etcd.key(key) })

  test('a watch is created, and tells of every put and delete', async () => {
    const { stream, created } = await etcd.watch({})
    expect(created).toMatchObject({ created: true, canceled: false, watch_id: '0', events: [] })
    expect(Number(created.header.revision)).toBe(await etcd.revision())
    await etcd.put('a', '1')
    await etcd.put('a', '2')
    await del('a')
    const seen = [await stream.next(), await stream.next(), await stream.next()]
    expect(seen.flatMap(eventsOf)).toEqual(['PUT a=1', 'PUT a=2', 'DELETE a'])
    expect(seen.map(({ header }) => Number(header.revision) - Number(created.header.revision))).toEqual([
      1, 2, 3,
    ])
  })

  test('an event carries the key as it became, and a delete no more than key and revision', async () => {
    const { stream } = await etcd.watch({})
    const { header } = await etcd.put('a', '1')
    const [put] = (await stream.next()).events
    expect(put.kv).toMatchObject({
      ...{ key: Buffer.from(etcd.key('a')), value: Buffer.from('1'), version: '1' },
      ...{ create_revision: header.revision, mod_revision: header.revision, lease: '0' },
    })
    expect(put.prev_kv).toBeNull()
    await del('a')
    const [gone] = (await stream.next()).events
    expect(gone.kv).toMatchObject({
      ...{ key: Buffer.from(etcd.key('a')), value: Buffer.alloc(0), version: '0', create_revision: '0' },
      mod_revision: String(Number(header.revision) + 1),
    })
  })

  test('changes of one transaction come in one response, in the order they were made', async () => {
    await etcd.put('c')
    const { stream } = await etcd.watch({})
    const put = (key: string) => ({ request_put: { key: etcd.key(key), value: '' } })
    await etcd.call('Txn', {
      success: [put('b'), { request_delete_range: { key: etcd.key('c') } }, put('a')],
    })
    expect(eventsOf(await stream.next())).toEqual(['PUT b=', 'DELETE c', 'PUT a='])
  })

  test('a range that is deleted comes in one response, in order of the keys', async () => {
    for (const key of ['b', 'a', 'c']) await etcd.put(key)
    const { stream } = await etcd.watch({})
    await etcd.call('DeleteRange', { key: etcd.key(''), range_end: endOf(etcd.key('')) })
    expect(eventsOf(await stream.next())).toEqual(['DELETE a', 'DELETE b', 'DELETE c'])
  })

  test('only the watched range is told of', async () => {
    const { stream } = await etcd.watch({ key: etcd.key('b'), range_end: etcd.key('d') })
    for (const key of ['a', 'b', 'd', 'c', 'bb']) await etcd.put(key)
    const seen = [await stream.next(), await stream.next(), await stream.next()]
    expect(seen.flatMap(eventsOf)).toEqual(['PUT b=', 'PUT c=', 'PUT bb='])
  })

  test('one key can be watched, and all keys from one on', async () => {
    const one = await etcd.watch({ key: etcd.key('b'), range_end: '' })
    const rest = await etcd.watch({ key: etcd.key('b'), range_end: '\0' })
    for (const key of ['a', 'ba', 'b']) await etcd.put(key)
    expect(eventsOf(await one.stream.next())).toEqual(['PUT b='])
    expect(eventsOf(await rest.stream.next())).toEqual(['PUT ba='])
  })

  test('no key at all means the zero byte', async () => {
    const { stream } = await etcd.watch({ key: '', range_end: '\0' })
    await etcd.put('a')
    expect(eventsOf(await stream.next())).toEqual(['PUT a='])
  })

  test('a start in the past delivers all that happened since, several revisions in one response', async () => {
    const first = (await etcd.revision()) + 1
    for (const value of ['1', '2', '3']) await etcd.put('a', value)
    await del('a')
    const { stream, created } = await etcd.watch({ start_revision: first })
    expect(created.created).toBe(true)
    const response = await stream.next()
    expect(eventsOf(response)).toEqual(['PUT a=1', 'PUT a=2', 'PUT a=3', 'DELETE a'])
    expect(Number(response.header.revision)).toBe(first + 3)
    await etcd.put('a', '4')
    expect(eventsOf(await stream.next())).toEqual(['PUT a=4'])
  })

  test('a backlog of more than 1000 revisions comes in parts, whole revisions each', async () => {
    const first = (await etcd.revision()) + 1
    const writes = Array.from({ length: 1500 }, (_, index) => etcd.put('a', String(index)))
    await Promise.all(writes)
    const { stream } = await etcd.watch({ start_revision: first })
    const isLast = ({ events }: Answer) => Number(events.at(-1).kv.mod_revision) === first + 1499
    const parts = await stream.until(isLast)
    expect(parts.map(({ events }) => events.length)).toEqual([1000, 500])
    const revisions = parts.flatMap(({ events }) =>
      events.map((event: Answer) => Number(event.kv.mod_revision)),
    )
    expect(revisions).toEqual(Array.from({ length: 1500 }, (_, index) => first + index))
  })

  test('a start in the future waits for it', async () => {
    const revision = await etcd.revision()
    const { stream } = await etcd.watch({ start_revision: revision + 3 })
    for (const value of ['1', '2', '3', '4']) await etcd.put('a', value)
    expect(eventsOf(await stream.next())).toEqual(['PUT a=3'])
    expect(eventsOf(await stream.next())).toEqual(['PUT a=4'])
  })

  test('a start at the current revision delivers the latest change again', async () => {
    await etcd.put('a', '1')
    const { stream } = await etcd.watch({ start_revision: await etcd.revision() })
    expect(eventsOf(await stream.next())).toEqual(['PUT a=1'])
  })

  test('filters leave out puts or deletes', async () => {
    const puts = await etcd.watch({ filters: ['Nodelete'] })
    const deletes = await etcd.watch({ filters: ['Noput'] })
    await etcd.put('a')
    await del('a')
    await etcd.put('b')
    expect(eventsOf(await puts.stream.next())).toEqual(['PUT a='])
    expect(eventsOf(await puts.stream.next())).toEqual(['PUT b='])
    expect(eventsOf(await deletes.stream.next())).toEqual(['DELETE a'])
  })

  test('filters apply to the past as well', async () => {
    const first = (await etcd.revision()) + 1
    await etcd.put('a')
    await del('a')
    const { stream } = await etcd.watch({ filters: ['Noput'], start_revision: first })
    expect(eventsOf(await stream.next())).toEqual(['DELETE a'])
  })

  test('prev_kv gives what a put replaced and a delete removed', async () => {
    const { stream } = await etcd.watch({ prev_kv: true })
    await etcd.put('a', '1')
    await etcd.put('a', '2')
    await del('a')
    const previous = []
    for (let count = 0; count < 3; count++) {
      const [{ prev_kv }] = (await stream.next()).events
      previous.push(prev_kv && [String(prev_kv.value), prev_kv.version])
    }
    expect(previous).toEqual([null, ['1', '1'], ['2', '2']])
  })

  test('prev_kv is what was there before the transaction, whatever it wrote in between', async () => {
    await etcd.put('a', 'former')
    await etcd.put('b', 'former')
    const { stream } = await etcd.watch({ prev_kv: true })
    const put = (key: string) => ({ request_put: { key: etcd.key(key), value: 'inner' } })
    const nested = (op: object) => ({ request_txn: { success: [op] } })
    const all = { request_delete_range: { key: etcd.key('a'), range_end: '\0' } }
    const some = { request_delete_range: { key: etcd.key('b'), range_end: endOf(etcd.key('')) } }
    for (const success of [
      [all, put('b'), put('c')],
      [nested(put('b')), nested(put('c')), nested(put('d')), nested(some)],
    ]) {
      await etcd.call('Txn', { success })
    }
    const told = []
    for (const { events } of [await stream.next(), await stream.next()]) {
      told.push(
        events.map(({ type, kv, prev_kv }: Answer) => {
          return `${type} ${String(kv.key).slice(-1)} ${prev_kv && `${prev_kv.value} ${prev_kv.version}`}`
        }),
      )
    }
    expect(told).toEqual([
      ['Delete a former 1', 'Delete b former 1', 'Put b null', 'Put c null'],
      [
        ...['Put b inner 1', 'Put c inner 1', 'Put d null'],
        ...['Delete b inner 1', 'Delete c inner 1', 'Delete d null'],
      ],
    ])
  })

  test('many watches share a stream, each under the id that the server chose', async () => {
    const { stream } = await etcd.watch({ key: etcd.key('a'), range_end: '' })
    stream.send({ create_request: { key: etcd.key('b') } })
    expect(await stream.next()).toMatchObject({ created: true, watch_id: '1' })
    await etcd.put('b')
    await etcd.put('a')
    expect((await stream.next()).watch_id).toBe('1')
    expect((await stream.next()).watch_id).toBe('0')
  })

  test('an id that the client chose is kept, and skipped by those that the server chooses', async () => {
    const { stream, created } = await etcd.watch({ watch_id: 1 })
    expect(created.watch_id).toBe('1')
    const ids = []
    for (let count = 0; count < 3; count++) {
      stream.send({ create_request: { key: etcd.key('a') } })
      ids.push((await stream.next()).watch_id)
    }
    expect(ids).toEqual(['0', '2', '3'])
  })

  test('an id of 64 bits comes back exactly', async () => {
    const { created } = await etcd.watch({ watch_id: '9223372036854775807' })
    expect(created.watch_id).toBe('9223372036854775807')
  })

  test('an id that is in use is refused, and the stream goes on', async () => {
    const { stream } = await etcd.watch({ watch_id: 7 })
    stream.send({ create_request: { key: etcd.key('a'), watch_id: 7 } })
    expect(await stream.next()).toMatchObject({
      ...{ created: true, canceled: true, watch_id: '-1' },
      cancel_reason: 'mvcc: duplicate watch ID provided on the WatchStream',
    })
    await etcd.put('a')
    expect((await stream.next()).watch_id).toBe('7')
  })

  test('an empty range is refused', async () => {
    for (const range_end of [etcd.key('a'), etcd.key('b')]) {
      const { created } = await etcd.watch({ key: etcd.key('b'), range_end })
      expect(created).toMatchObject({
        ...{ created: true, canceled: true, watch_id: '-1' },
        cancel_reason: 'mvcc: watcher range is empty',
      })
    }
  })

  test('two streams do not share ids', async () => {
    const [one, other] = [await etcd.watch({}), await etcd.watch({})]
    expect([one.created.watch_id, other.created.watch_id]).toEqual(['0', '0'])
  })

  test('a cancelled watch is confirmed and tells nothing more, others go on', async () => {
    const { stream } = await etcd.watch({})
    stream.send({ create_request: { key: etcd.key('a') } })
    await stream.next()
    stream.send({ cancel_request: { watch_id: 0 } })
    const canceled = await stream.next()
    expect(canceled).toMatchObject({ canceled: true, created: false, watch_id: '0', compact_revision: '0' })
    await etcd.put('a')
    expect((await stream.next()).watch_id).toBe('1')
  })

  test('the id of a cancelled watch can be used again', async () => {
    const { stream } = await etcd.watch({ watch_id: 5 })
    stream.send({ cancel_request: { watch_id: 5 } })
    await stream.next()
    stream.send({ create_request: { key: etcd.key('a'), watch_id: 5 } })
    expect(await stream.next()).toMatchObject({ created: true, canceled: false, watch_id: '5' })
  })

  test('a cancellation of no watch is not answered', async () => {
    const { stream } = await etcd.watch({})
    stream.send({ cancel_request: { watch_id: 99 } })
    await etcd.put('a')
    expect(eventsOf(await stream.next())).toEqual(['PUT a='])
  })

  test('a progress request is answered under the id -1', async () => {
    const { stream } = await etcd.watch({})
    stream.send({ progress_request: {} })
    const progress = await stream.next()
    expect(progress).toMatchObject({ watch_id: '-1', created: false, canceled: false, events: [] })
    expect(Number(progress.header.revision)).toBe(await etcd.revision())
  })

  /** The messages of a stream before the first one of a watch that is created now: an order, so no time has to pass. */
  async function untilNow({ send, until }: EtcdStream): Promise<Answer[]> {
    send({ create_request: { key: etcd.key('none'), watch_id: 99 } })
    return (await until(({ created, watch_id }) => created && watch_id === '99')).slice(0, -1)
  }
  const progress = (revision: number) => [
    { watch_id: '-1', events: [], header: { revision: String(revision) } },
  ]

  test(`a progress request is ${from35 ? 'not answered' : 'answered'} on a stream without a watch`, async () => {
    const stream = etcd.stream('Watch')
    stream.send({ progress_request: {} })
    expect(await untilNow(stream)).toMatchObject(from35 ? [] : progress(await etcd.revision()))
  })

  test('a progress request is answered where a watch starts now or is done with the past', async () => {
    await etcd.put('a', '1')
    const revision = await etcd.revision()
    const { stream } = await etcd.watch({ start_revision: revision })
    expect(eventsOf(await stream.next())).toEqual(['PUT a=1'])
    stream.send({ create_request: { key: etcd.key('b') } })
    await stream.next()
    stream.send({ progress_request: {} })
    expect([await stream.next()]).toMatchObject(progress(revision))
  })

  test(`a watch that starts ahead of the store ${from35 ? 'silences' : 'does not silence'} its stream until the store is there`, async () => {
    const revision = await etcd.revision()
    const { stream } = await etcd.watch({})
    stream.send({ create_request: { key: etcd.key('quiet'), start_revision: revision + 1 } })
    await stream.next()
    stream.send({ progress_request: {} })
    expect(await untilNow(stream)).toMatchObject(from35 ? [] : progress(revision))
    // a change anywhere is enough
    await etcd.call('Put', { key: '/elsewhere', value: '' })
    stream.send({ progress_request: {} })
    expect([await stream.next()]).toMatchObject(progress(revision + 1))
  })

  test('a cancelled watch that started ahead of the store no longer matters', async () => {
    const revision = await etcd.revision()
    const { stream } = await etcd.watch({})
    stream.send({ create_request: { key: etcd.key('quiet'), start_revision: revision + 5 } })
    await stream.next()
    stream.send({ cancel_request: { watch_id: 1 } })
    await stream.next()
    stream.send({ progress_request: {} })
    expect([await stream.next()]).toMatchObject(progress(revision))
  })

  test(`a progress request right after a start in the past is ${from35 ? 'not answered' : 'answered before the events'}`, async () => {
    await etcd.put('a', '1')
    const stream = etcd.stream('Watch')
    stream.send({ create_request: { key: etcd.key('a'), start_revision: await etcd.revision() } })
    stream.send({ progress_request: {} })
    const seen = await stream.until(({ events }) => events.length > 0)
    expect(seen.slice(1, -1)).toMatchObject(from35 ? [] : progress(await etcd.revision()))
    // one that is done with the past by then is answered
    if (!from35) expect(await untilNow(stream)).toEqual([])
  })

  test(`a watch that a compaction ended ${from35 ? 'silences' : 'does not silence'} its stream until it is cancelled`, async () => {
    for (let count = 0; count < 3; count++) await etcd.put('a')
    const revision = await etcd.revision()
    await etcd.call('Compact', { revision, physical: true })
    const { stream } = await etcd.watch({ start_revision: revision - 1 })
    expect(await stream.next()).toMatchObject({ canceled: true })
    stream.send({ create_request: { key: etcd.key('a') } })
    await stream.next()
    stream.send({ progress_request: {} })
    expect(await untilNow(stream)).toMatchObject(from35 ? [] : progress(revision))
    stream.send({ cancel_request: { watch_id: 0 } })
    await stream.next()
    stream.send({ progress_request: {} })
    expect([await stream.next()]).toMatchObject(progress(revision))
  })

  test('a start that is compacted is created, then cancelled with the oldest revision there is', async () => {
    for (let count = 0; count < 3; count++) await etcd.put('a')
    const revision = await etcd.revision()
    await etcd.call('Compact', { revision, physical: true })
    const { stream, created } = await etcd.watch({ start_revision: revision - 1 })
    expect(created).toMatchObject({ created: true, canceled: false, compact_revision: '0' })
    expect(await stream.next()).toMatchObject({
      ...{ watch_id: '0', created: false, canceled: true, cancel_reason: '' },
      ...{ compact_revision: String(revision), header: { revision: '0' } },
    })
  })

  test.each([
    ['that the client chose', '7', '7'],
    ['that etcd chose', '0', '0'],
  ])('a watch that a compaction ended keeps the id %s until it is cancelled', async (_, watch_id, id) => {
    for (let count = 0; count < 3; count++) await etcd.put('a')
    const revision = await etcd.revision()
    await etcd.call('Compact', { revision, physical: true })
    const { stream } = await etcd.watch({ watch_id, start_revision: revision - 1 })
    expect(await stream.next()).toMatchObject({ canceled: true, watch_id: id })
    stream.send({ create_request: { key: etcd.key('a'), watch_id } })
    const again = await stream.next()
    if (watch_id === '0') expect(again).toMatchObject({ watch_id: '1', created: true, canceled: false })
    else {
      expect(again).toMatchObject({
        ...{ watch_id: '-1', created: true, canceled: true },
        cancel_reason: 'mvcc: duplicate watch ID provided on the WatchStream',
      })
    }
    for (let count = 0; count < 2; count++) stream.send({ cancel_request: { watch_id: id } })
    const canceled = await stream.next()
    expect(canceled).toMatchObject({
      ...{ watch_id: id, canceled: true, created: false, compact_revision: '0' },
      header: { revision: String(revision) },
    })
    stream.send({ create_request: { key: etcd.key('a'), watch_id: 7 } })
    expect(await stream.next()).toMatchObject({ watch_id: '7', created: true, canceled: false })
  })

  test('a start at the compacted revision itself delivers its puts', async () => {
    await etcd.put('a', '1')
    await etcd.put('a', '2')
    await etcd.call('Compact', { revision: await etcd.revision(), physical: true })
    const { stream } = await etcd.watch({ start_revision: await etcd.revision(), prev_kv: true })
    const response = await stream.next()
    expect(eventsOf(response)).toEqual(['PUT a=2'])
    expect(response.events[0].prev_kv).toBeNull()
  })

  test(`a start at the compacted revision ${from35 ? 'delivers its deletes as well' : 'does not deliver its deletes'}`, async () => {
    await etcd.put('a', '1')
    await etcd.call('Txn', { success: ['a', 'b'].map(putOrDelete) })
    const revision = await etcd.revision()
    await etcd.call('Compact', { revision, physical: true })
    const { stream } = await etcd.watch({ start_revision: revision, prev_kv: true })
    const [response] = await stream.until(({ events }) => events.length > 0)
    expect(eventsOf(response)).toEqual(from35 ? ['DELETE a', 'PUT b='] : ['PUT b='])
    expect(response.events[0].prev_kv).toBeNull()
  })

  test('of a key that one transaction put and deleted, a compaction keeps no more than the delete', async () => {
    const ops = [{ request_put: { key: etcd.key('a') } }, { request_delete_range: { key: etcd.key('a') } }]
    await etcd.call('Txn', { success: ops.map(op => ({ request_txn: { success: [op] } })) })
    const revision = await etcd.revision()
    await etcd.call('Compact', { revision, physical: true })
    const { stream } = await etcd.watch({ start_revision: revision })
    await etcd.put('b')
    const seen = await stream.until(message => eventsOf(message).includes('PUT b='))
    expect(seen.flatMap(eventsOf)).toEqual(from35 ? ['DELETE a', 'PUT b='] : ['PUT b='])
  })

  test('the first change after a compaction has its prev_kv', async () => {
    await etcd.put('a', '1')
    const revision = await etcd.revision()
    await etcd.call('Compact', { revision, physical: true })
    await etcd.put('a', '2')
    const { stream } = await etcd.watch({ start_revision: revision + 1, prev_kv: true })
    expect(String((await stream.next()).events[0].prev_kv.value)).toBe('1')
  })

  test('a compaction does not end a watch that is up to date', async () => {
    const { stream } = await etcd.watch({})
    await etcd.put('a')
    await stream.next()
    await etcd.call('Compact', { revision: await etcd.revision(), physical: true })
    await etcd.put('b')
    expect(eventsOf(await stream.next())).toEqual(['PUT b='])
  })

  test('with fragment, what is over 2 MiB comes in parts, and only the last is not marked', async () => {
    const { stream } = await etcd.watch({ fragment: true })
    const value = 'x'.repeat(10_000)
    const first = (await etcd.revision()) + 1
    for (let at = 0; at < 300; at += 100) {
      const success = Array.from({ length: 100 }, (_, index) => ({
        request_put: { key: etcd.key(String(at + index).padStart(3, '0')), value },
      }))
      await etcd.call('Txn', { success })
    }
    const behind = await etcd.watch({ fragment: true, start_revision: first })
    const parts = await behind.stream.until(({ fragment }) => !fragment)
    expect(parts.length).toBe(2)
    expect(parts.map(({ fragment }) => fragment)).toEqual([true, false])
    expect(parts.flatMap(({ events }) => events)).toHaveLength(300)
    expect(parts[0].events.length).toBeGreaterThan(150)
    // small ones are left whole
    expect((await stream.next()).fragment).toBe(false)
  })

  test('without fragment, it comes in one', async () => {
    const first = (await etcd.revision()) + 1
    const value = 'x'.repeat(1_000_000)
    for (const key of ['a', 'b', 'c']) await etcd.put(key, value)
    const { stream } = await etcd.watch({ start_revision: first })
    const response = await stream.next()
    expect([response.events.length, response.fragment]).toEqual([3, false])
  })

  test('a lease that is revoked deletes its keys in one response', async () => {
    const { ID } = await etcd.call('LeaseGrant', { TTL: 60 })
    for (const key of ['b', 'a']) await etcd.put(key, '', { lease: ID })
    const { stream } = await etcd.watch({ prev_kv: true })
    await etcd.call('LeaseRevoke', { ID })
    const response = await stream.next()
    expect(eventsOf(response)).toEqual(['DELETE a', 'DELETE b'])
    expect(response.events[0].prev_kv.lease).toBe(ID)
    expect(response.events[0].kv.lease).toBe('0')
  })

  test('a client that has ended its side is told of changes all the same', async () => {
    const { stream } = await etcd.watch({})
    stream.end()
    await etcd.put('a')
    expect(eventsOf(await stream.next())).toEqual(['PUT a='])
  })

  test('a reader that stops for a while misses nothing', async () => {
    const { stream, created } = await etcd.watch({})
    stream.pause()
    const value = 'x'.repeat(100_000)
    for (let count = 0; count < 60; count++) await etcd.put('a', value)
    stream.resume()
    const last = Number(created.header.revision) + 60
    const parts = await stream.until(({ events }) => Number(events.at(-1).kv.mod_revision) === last)
    const revisions = parts.flatMap(({ events }) =>
      events.map((event: Answer) => Number(event.kv.mod_revision)),
    )
    expect(revisions).toEqual(Array.from({ length: 60 }, (_, index) => last - 59 + index))
  })
})

const refusesNegativeStart = (test: TestAPI, etcd: Subject) => {
  test.each([-1, -5])('a start at %s is refused, and the stream goes on', async start_revision => {
    await etcd.put('a', '1')
    // refused for its start, whatever else is wrong with it
    const { stream, created } = await etcd.watch({ start_revision, range_end: etcd.key(''), watch_id: 7 })
    expect(created).toMatchObject({
      ...{ created: true, canceled: true, watch_id: '-1', compact_revision: '0' },
      cancel_reason: 'etcdserver: mvcc: required revision has been compacted',
    })
    expect(Number(created.header.revision)).toBe(await etcd.revision())
    stream.send({ create_request: { key: etcd.key('a'), watch_id: 7 } })
    expect(await stream.next()).toMatchObject({ created: true, canceled: false, watch_id: '7' })
  })
}

const takesNegativeStart = (test: TestAPI, etcd: Subject) => {
  test('a start at -1 stays open and is told what happens from now on, an earlier one is cancelled', async () => {
    await etcd.put('a', '1')
    const { stream, created } = await etcd.watch({ start_revision: -1 })
    expect(created).toMatchObject({ created: true, canceled: false })
    for (const start_revision of [-2, -100]) {
      const before = await etcd.watch({ start_revision })
      expect(before.created).toMatchObject({ created: true, canceled: false })
      expect(await before.stream.next()).toMatchObject({
        ...{ canceled: true, compact_revision: '-1', header: { revision: '0' } },
      })
    }
    // etcd looks after such a watch only every 100 ms, and what happens until then it is never told
    let told: string[] = []
    void stream.next().then(response => {
      told = eventsOf(response)
    })
    const put = async () => {
      await etcd.put('a', '2')
      return told
    }
    await expect.poll(put).toEqual(['PUT a=2'])
  })

  test('once it is compacted at 0, a start before that is over without being called cancelled', async () => {
    await etcd.call('Compact', { revision: 0, physical: true })
    const { stream } = await etcd.watch({ start_revision: -1 })
    expect(await stream.next()).toMatchObject({
      ...{ canceled: false, created: false, events: [], compact_revision: '0', header: { revision: '0' } },
    })
  })
}

conform('Watch of a store that was never compacted', from35 ? refusesNegativeStart : takesNegativeStart)
