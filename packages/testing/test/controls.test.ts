import { type Etcd, startEtcd, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EtcdClient, etcdClient } from './support/etcd-client.ts'

describe.each<[string, () => Promise<Etcd>]>([
  ['etcd', startEtcdBinary],
  ['embedded etcd', startEtcd],
])('controls of the %s', (_, start) => {
  let etcd: Etcd
  let client: EtcdClient

  beforeAll(async () => {
    etcd = await start()
    client = etcdClient(etcd.endpoint)
  })
  afterAll(async () => {
    client.close()
    await etcd.stop()
  })

  const value = async (key: string) => (await client.call('Range', { key })).kvs[0]?.value.toString()
  /** A new connection each time: where etcd was away, an old one waits before it tries again. */
  async function fresh<Result>(use: (client: EtcdClient) => Promise<Result>): Promise<Result> {
    client.close()
    client = etcdClient(etcd.endpoint)
    return await use(client)
  }

  test('the endpoint is on 127.0.0.1, at the port it says', () => {
    expect(etcd.endpoint).toBe(`http://127.0.0.1:${etcd.port}`)
  })

  test('a killed one is gone, and comes back on the same port with its data and leases', async () => {
    await client.call('LeaseGrant', { ID: 99, TTL: 60 })
    await client.call('Put', { key: 'kept', value: 'yes', lease: 99 })
    await etcd.kill()
    await expect(fresh(({ call }) => call('Range', { key: 'kept' }))).rejects.toMatchObject({ code: 14 })
    await etcd.restart()
    expect(await fresh(() => value('kept'))).toBe('yes')
    expect(Number((await client.call('LeaseTimeToLive', { ID: 99 })).TTL)).toBeGreaterThan(55)
  })

  test('streams end with the one that is killed', async () => {
    const stream = client.stream('Watch')
    stream.send({ create_request: { key: 'a' } })
    await stream.next()
    expect(await etcd.openStreams('Watch')).toBe(1)
    await etcd.restart()
    expect((await stream.next()).code).toBe(14)
    expect(await etcd.openStreams('Watch')).toBe(0)
  })

  test.each(['wipe', 'restart'] as const)('after %s the store is empty at revision 1', async how => {
    await fresh(({ call }) => call('Put', { key: 'kept', value: 'yes' }))
    await (how === 'wipe' ? etcd.wipe() : etcd.restart({ wipe: true }))
    const { header, count } = await fresh(({ call }) => call('Range', { key: '\0', range_end: '\0' }))
    expect([header.revision, count]).toEqual(['1', '0'])
    expect((await client.call('LeaseLeases')).leases).toEqual([])
  })

  test('a wiped one is the same cluster and member', async () => {
    const { header } = await client.call('Range', { key: 'a' })
    await etcd.wipe()
    const { cluster_id } = header
    expect((await fresh(({ call }) => call('Range', { key: 'a' }))).header).toMatchObject({ cluster_id })
  })

  test('a frozen one keeps its connections, takes new ones, and answers nothing until it is thawed', async () => {
    const stream = client.stream('Watch')
    stream.send({ create_request: { key: 'a' } })
    await stream.next()
    await etcd.freeze()
    const stranger = etcdClient(etcd.endpoint)
    let answers = 0
    const count = () => {
      answers += 1
    }
    const pending = [client, stranger].map(({ call }) => call('Put', { key: 'a', value: '1' }).then(count))
    await expect(client.call('Range', { key: 'a' }, undefined, 200)).rejects.toMatchObject({ code: 4 })
    expect(answers).toBe(0)
    etcd.thaw()
    await Promise.all(pending)
    expect(answers).toBe(2)
    const [{ kv }] = (await stream.next()).events
    expect(kv.value.toString()).toBe('1')
    stranger.close()
    stream.cancel()
  })

  test('a frozen one can be restarted', async () => {
    await client.call('Put', { key: 'a', value: 'still' })
    await etcd.freeze()
    await etcd.restart()
    expect(await fresh(() => value('a'))).toBe('still')
  })

  test('compaction makes older revisions unreadable and may be repeated', async () => {
    for (const text of ['1', '2']) await client.call('Put', { key: 'count', value: text })
    const revision = await etcd.compact()
    expect(await etcd.compact(revision)).toBe(revision)
    const read = client.call('Range', { key: 'count', revision: String(revision - 1n) })
    await expect(read).rejects.toMatchObject({ code: 11 })
  })

  test('calls are counted by RPC, streams when they are opened', async () => {
    const before = await etcd.requests()
    await client.call('Put', { key: 'a', value: '' })
    await client.call('Put', { key: 'a', value: '' })
    await client.call('MemberList')
    const stream = client.stream('LeaseKeepAlive')
    stream.send({ ID: 1 })
    await stream.next()
    stream.cancel()
    const after = await etcd.requests()
    const more = (rpc: string) => (after[rpc] ?? 0) - (before[rpc] ?? 0)
    expect(['Put', 'MemberList', 'LeaseKeepAlive', 'Txn'].map(more)).toEqual([2, 1, 1, 0])
  })

  test('open streams are counted until they end', async () => {
    const streams = ['Watch', 'LeaseKeepAlive', 'Watch'].map(rpc => client.stream(rpc))
    await expect.poll(() => etcd.openStreams('Watch')).toBe(2)
    expect(await etcd.openStreams('LeaseKeepAlive')).toBe(1)
    for (const stream of streams) stream.cancel()
    await expect.poll(() => etcd.openStreams('Watch')).toBe(0)
  })

  test('etcdctl is run against it, and its failures are ours', async () => {
    expect(await etcd.etcdctl('put', 'by', 'etcdctl')).toBe('OK\n')
    expect(await value('by')).toBe('etcdctl')
    await expect(etcd.etcdctl('get')).rejects.toThrow('get command needs one argument')
  })

  test('it can be stopped again and again, also while it is frozen, and is then gone for ever', async () => {
    const other = await start()
    await other.freeze()
    await other.stop()
    await other.stop()
    await expect(other.restart()).rejects.toThrow('stopped')
  })
})
