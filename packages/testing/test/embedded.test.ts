import { type EmbeddedEtcd, startEtcd, startEtcdBinary } from '@etcd-register/testing'
import { describe, expect, onTestFinished, test, vi } from 'vitest'
import { type EtcdClient, etcdClient } from './support/etcd-client.ts'

async function start(): Promise<{ etcd: EmbeddedEtcd; client: EtcdClient }> {
  const etcd = await startEtcd()
  const client = etcdClient(etcd.endpoint)
  onTestFinished(async () => {
    client.close()
    await etcd.stop()
  })
  return { etcd, client }
}

test('it starts within 50 ms', async () => {
  // The best of some, since a busy machine adds to each.
  const times: number[] = []
  for (let i = 0; i < 20; i += 1) {
    const began = performance.now()
    await using _ = await startEtcd()
    times.push(performance.now() - began)
  }
  expect(Math.min(...times)).toBeLessThan(50)
})

test('many can run at once, each with a store of its own', async () => {
  const [one, other] = [await start(), await start()]
  expect(one.etcd.port).not.toBe(other.etcd.port)
  await one.client.call('Put', { key: 'a', value: '' })
  expect((await other.client.call('Range', { key: 'a' })).count).toBe('0')
})

test('a fixed port is used, and one that is taken is an error', async () => {
  const { etcd } = await start()
  await expect(startEtcd({ port: etcd.port })).rejects.toThrow('EADDRINUSE')
  await etcd.stop()
  await using again = await startEtcd({ port: etcd.port })
  expect(again.endpoint).toBe(etcd.endpoint)
})

test('it says when it starts what it is', async () => {
  const debug = vi.fn()
  await using etcd = await startEtcd({ logger: { debug } })
  expect(debug).toHaveBeenCalledWith(
    { etcd: etcd.endpoint },
    expect.stringContaining('in memory, for development and tests only'),
  )
})

test('time that is moved ends the leases whose time is over, and no others', async () => {
  const { etcd, client } = await start()
  for (const [ID, TTL] of [
    [1, 10],
    [2, 20],
  ]) {
    await client.call('LeaseGrant', { ID, TTL })
    await client.call('Put', { key: `of ${ID}`, value: '', lease: ID })
  }
  etcd.advance(9_000)
  expect((await client.call('LeaseTimeToLive', { ID: 1 })).TTL).toBe('0')
  etcd.advance(1_000)
  const { kvs } = await client.call('Range', { key: '\0', range_end: '\0' })
  expect(kvs.map(({ key }: { key: Buffer }) => String(key))).toEqual(['of 2'])
  expect((await client.call('LeaseTimeToLive', { ID: 1 })).TTL).toBe('-1')
})

test('a renewal counts from the moved time on', async () => {
  const { etcd, client } = await start()
  await client.call('LeaseGrant', { ID: 1, TTL: 10 })
  const stream = client.stream('LeaseKeepAlive')
  for (let count = 0; count < 5; count++) {
    etcd.advance(9_000)
    stream.send({ ID: 1 })
    expect((await stream.next()).TTL).toBe('10')
  }
  stream.cancel()
})

test.each([-1, Number.POSITIVE_INFINITY, Number.NaN, '5', 5n, undefined])(
  'time does not move by %s',
  async ms => {
    const { etcd, client } = await start()
    await client.call('LeaseGrant', { ID: 1, TTL: 10 })
    expect(() => etcd.advance(ms as number)).toThrow('forward only')
    etcd.advance(9_000)
    expect((await client.call('LeaseTimeToLive', { ID: 1 })).TTL).not.toBe('-1')
  },
)

test('time that moves by many years does so at once, also for a watch that asked for progress', async () => {
  const { etcd, client } = await start()
  const stream = client.stream('Watch')
  stream.send({ create_request: { key: 'a', progress_notify: true } })
  await stream.next()
  etcd.advance(Number.MAX_SAFE_INTEGER)
  expect(await stream.next()).toMatchObject({ watch_id: '0', events: [] })
  stream.cancel()
})

test.each([0, 17, 1.5, -1, '14'])('a call does not fail with %s, which is no failure of gRPC', async code => {
  const { etcd, client } = await start()
  expect(() => etcd.failNext('Put', code as number)).toThrow('whole number from 1 to 16')
  await client.call('Put', { key: 'a', value: '' })
})

test.each([0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, '2'])(
  'a shortest lease of %s is refused',
  async ttl => {
    await expect(startEtcd({ minLeaseTtl: ttl as number })).rejects.toThrow('minLeaseTtl has to be')
  },
)

test('an empty host is refused, since it would listen everywhere', async () => {
  await expect(startEtcd({ host: '' })).rejects.toThrow('host is empty')
})

test.each([-1, -1n, 1.5])('revision %s is not compacted', async revision => {
  const { etcd } = await start()
  await expect(etcd.compact(revision as bigint)).rejects.toThrow('whole number from 0 on')
})

test('a quiet watch that asked for progress gets it each ten minutes', async () => {
  const { etcd, client } = await start()
  const stream = client.stream('Watch')
  stream.send({ create_request: { key: 'a', progress_notify: true } })
  await stream.next()
  await client.call('Put', { key: 'b', value: '' })
  etcd.advance(600_000)
  expect(await stream.next()).toMatchObject({ watch_id: '0', events: [], header: { revision: '2' } })
  stream.cancel()
})

test('a lease can be ended at once, and its watchers see it', async () => {
  const { etcd, client } = await start()
  await client.call('LeaseGrant', { ID: '9223372036854775807', TTL: 100 })
  await client.call('Put', { key: 'a', value: '', lease: '9223372036854775807' })
  const stream = client.stream('Watch')
  stream.send({ create_request: { key: 'a' } })
  await stream.next()
  etcd.expireLease(9223372036854775807n)
  expect((await stream.next()).events[0].type).toBe('Delete')
  expect(() => etcd.expireLease('5')).toThrow('requested lease not found')
  stream.cancel()
})

test('the next calls of an RPC fail as wanted, others and later ones do not', async () => {
  const { etcd, client } = await start()
  etcd.failNext('Put', 14, 'etcdserver: no leader')
  etcd.failNext('Put', 8)
  const put = () => client.call('Put', { key: 'a', value: '' })
  await client.call('Range', { key: 'a' })
  await expect(put()).rejects.toMatchObject({ code: 14, details: 'etcdserver: no leader' })
  await expect(put()).rejects.toMatchObject({ code: 8 })
  await put()
  expect(await etcd.requests()).toMatchObject({ Put: 3, Range: 1 })
})

test('a stream can be made to fail when it is opened', async () => {
  const { etcd, client } = await start()
  etcd.failNext('Watch', 14, 'no')
  expect(await client.stream('Watch').next()).toEqual({ code: 14, details: 'no' })
  expect(await etcd.openStreams('Watch')).toBe(0)
})

test('an RPC that does not exist cannot be made to fail', async () => {
  const { etcd } = await start()
  expect(() => etcd.failNext('Get', 14)).toThrow(/No RPC is called Get; there are Range, Put/)
})

test('after a disconnect streams have ended, and clients come back by themselves', async () => {
  const { etcd, client } = await start()
  const stream = client.stream('Watch')
  stream.send({ create_request: { key: 'a' } })
  await stream.next()
  await etcd.disconnect()
  expect((await stream.next()).code).toBe(14)
  await client.call('Put', { key: 'a', value: '' })
})

test('an end that is asked for during a restart or a wipe ends it for good', async () => {
  for (const begin of ['restart', 'wipe'] as const) {
    const { etcd, client } = await start()
    const restarted = etcd[begin]()
    await etcd.stop()
    await restarted
    await expect(client.call('Range', { key: 'a' })).rejects.toMatchObject({ code: 14 })
    await expect(etcd.restart()).rejects.toThrow('stopped')
    await using again = await startEtcd({ port: etcd.port })
    expect(again.port).toBe(etcd.port)
  }
})

test('restarts, wipes and kills at once happen in order', async () => {
  const { etcd, client } = await start()
  await client.call('Put', { key: 'a', value: '' })
  await Promise.all([etcd.restart(), etcd.restart(), etcd.restart()])
  await Promise.all([etcd.restart(), etcd.kill(), etcd.restart(), etcd.wipe(), etcd.restart()])
  const other = etcdClient(etcd.endpoint)
  expect(await other.call('Range', { key: 'a' })).toMatchObject({ count: '0', header: { revision: '1' } })
  other.close()
})

test('every control of one that is stopped says so', async () => {
  const { etcd } = await start()
  await etcd.stop()
  expect(() => etcd.advance(1)).toThrow('stopped')
  expect(() => etcd.expireLease(1n)).toThrow('stopped')
  expect(() => etcd.expireTokens()).toThrow('stopped')
  expect(() => etcd.failNext('Put', 14)).toThrow('stopped')
  await expect(etcd.disconnect()).rejects.toThrow('stopped')
  await expect(etcd.compact()).rejects.toThrow('stopped')
  await expect(etcd.freeze()).rejects.toThrow('stopped')
})

test('time stands still while it is frozen; what ended meanwhile has ended before anybody is answered', async () => {
  const { etcd, client } = await start()
  await client.call('LeaseGrant', { ID: 1, TTL: 10 })
  const stream = client.stream('LeaseKeepAlive')
  stream.send({ ID: 1 })
  await stream.next()
  await etcd.freeze()
  stream.send({ ID: 1 })
  etcd.advance(10_000)
  etcd.thaw()
  expect((await stream.next()).TTL).toBe('0')
  stream.cancel()
})

test('a delete of 100,000 keys reaches a watch on them whole', async () => {
  const { client } = await start()
  const put = (index: number) => ({ request_put: { key: `key ${index}`, value: 'x'.repeat(100) } })
  for (let at = 0; at < 100_000; at += 6400) {
    await Promise.all(
      Array.from({ length: 50 }, (_, batch) => {
        const first = at + batch * 128
        const size = Math.max(0, Math.min(128, 100_000 - first))
        return client.call('Txn', { success: Array.from({ length: size }, (_, index) => put(first + index)) })
      }),
    )
  }
  const stream = client.stream('Watch')
  stream.send({ create_request: { key: '\0', range_end: '\0', fragment: true } })
  await stream.next()
  expect((await client.call('DeleteRange', { key: '\0', range_end: '\0' })).deleted).toBe('100000')
  const parts = await stream.until(({ fragment }) => !fragment)
  expect(parts.flatMap(({ events }) => events)).toHaveLength(100_000)
  stream.cancel()
})

test('a transaction that would fail halfway is refused whole', async () => {
  const { client } = await start()
  const value = { value: 'x' }
  for (const key of ['a', 'b']) await client.call('Put', { key, ...value })
  const stream = client.stream('Watch')
  stream.send({ create_request: { key: '\0', range_end: '\0' } })
  await stream.next()
  for (const ignored of ['ignore_lease', 'ignore_value']) {
    const success = [
      { request_put: { key: 'c', ...value } },
      { request_delete_range: { key: 'a', range_end: '\0' } },
      { request_put: { key: 'b', [ignored]: true } },
    ]
    await expect(client.call('Txn', { success })).rejects.toMatchObject({
      ...{ code: 3, details: 'etcdserver: key not found' },
    })
  }
  const { header } = await client.call('Put', { key: 'd', ...value })
  expect(header.revision).toBe('4')
  const { events } = await stream.next()
  expect(events.map(({ kv }: { kv: { key: Buffer } }) => String(kv.key))).toEqual(['d'])
  const { kvs } = await client.call('Range', { key: 'a', range_end: '\0' })
  expect(kvs.map((kv: { key: Buffer }) => String(kv.key))).toEqual(['a', 'b', 'd'])
})

test('maxRequestBytes refuses the same requests as --max-request-bytes', async () => {
  await using real = await startEtcdBinary({ args: ['--max-request-bytes', '4000'] })
  await using embedded = await startEtcd({ maxRequestBytes: 4000 })
  const outcomes = ({ endpoint }: { endpoint: string }) => {
    const client = etcdClient(endpoint)
    onTestFinished(() => client.close())
    const put = (size: number) => client.call('Put', { key: 'a', value: 'x'.repeat(size) })
    const outcome = (size: number) =>
      put(size).then(
        () => 'put',
        ({ details }) => details,
      )
    return Promise.all([100, 3800, 4100, 4000 + 512 * 1024].map(outcome))
  }
  expect(await outcomes(embedded)).toEqual(await outcomes(real))
})

describe('version', () => {
  test.each([
    ['3.4', '3.4.23'],
    ['3.5', '3.5.35'],
    ['3.6', '3.6.16'],
    ['3.7', '3.7.3'],
  ] as const)('%s reports a release of that version', async (version, release) => {
    await using versioned = await startEtcd({ version })
    const client = etcdClient(versioned.endpoint)
    expect(await client.call('Status')).toMatchObject({ version: release })
    client.close()
  })

  test('another one is refused with those there are', async () => {
    await expect(startEtcd({ version: '2.3' as '3.4' })).rejects.toThrow('It can be 3.4, 3.5, 3.6, 3.7')
  })

  test.each(['3.4', '3.6'] as const)(
    'what a watch of %s wants of the past comes as well when time is moved',
    async version => {
      await using versioned = await startEtcd({ version })
      const client = etcdClient(versioned.endpoint)
      await client.call('Put', { key: 'a', value: '1' })
      const stream = client.stream('Watch')
      stream.send({ create_request: { key: 'a', start_revision: 2 } })
      expect((await stream.next()).created).toBe(true)
      versioned.advance(10)
      expect((await stream.next()).events).toHaveLength(1)
      client.close()
    },
  )
})
