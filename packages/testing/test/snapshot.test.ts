import { existsSync } from 'node:fs'
import { startEtcdBinary, startEtcdCluster } from '@etcd-register/testing'
import { expect, test } from 'vitest'
import { findEtcd } from '../src/binary.ts'
import { versionOf } from '../src/snapshot.ts'
import { etcdClient } from './support/etcd-client.ts'

const bumps = Number((await versionOf(findEtcd(undefined))).split('.')[1]) >= 6

/** Calls on a connection of their own. */
async function ask(endpoint: string, rpc: string, request: object) {
  const client = etcdClient(endpoint)
  try {
    return await client.call(rpc, request)
  } finally {
    client.close()
  }
}

const read = async (endpoint: string, key: string) => {
  const { header, kvs } = await ask(endpoint, 'Range', { key })
  return { revision: Number(header.revision), value: kvs[0]?.value.toString() }
}

test.concurrent('a snapshot is restored on the same port, and what came after it is gone', async () => {
  await using etcd = await startEtcdBinary()
  const put = (value: string) => ask(etcd.endpoint, 'Put', { key: 'a', value })
  await put('1')
  const snapshot = await etcd.snapshot()
  for (const value of ['2', '3', '4', '5', '6']) await put(value)
  const { endpoint } = etcd
  await etcd.restore(snapshot)
  const restored = await read(endpoint, 'a')
  expect(restored.value).toBe('1')
  expect(restored.revision).toBeLessThan(5)
  // again, and another one
  await put('7')
  const later = await etcd.snapshot()
  await etcd.restore(snapshot)
  expect((await read(endpoint, 'a')).value).toBe('1')
  await etcd.restore(later)
  expect((await read(endpoint, 'a')).value).toBe('7')
  await etcd.restart()
  expect((await read(endpoint, 'a')).value).toBe('7')
  expect(existsSync(snapshot.path)).toBe(true)
  await etcd.stop()
  expect(existsSync(snapshot.path)).toBe(false)
})

test.concurrent('a snapshot keeps users and whether authentication is on, over TLS as well', async () => {
  await using etcd = await startEtcdBinary({ tls: true })
  const before = await etcd.snapshot()
  await etcd.enableAuth({ rootPassword: 'r' })
  await etcd.etcdctl('put', 'a', '1')
  const secured = await etcd.snapshot()
  expect([before.auth, secured.auth]).toEqual([false, true])
  await etcd.restore(before)
  expect(await etcd.etcdctl('get', '--print-value-only', 'a')).toBe('')
  await etcd.restore(secured)
  expect(await etcd.etcdctl('get', '--print-value-only', 'a')).toBe('1\n')
  await etcd.compact()
})

test.concurrent(`a restore ${bumps ? 'moves' : 'cannot move'} the revision ahead and compacts what was before`, async () => {
  await using etcd = await startEtcdBinary()
  await ask(etcd.endpoint, 'Put', { key: 'a', value: '1' })
  const { pid } = etcd
  const restored = etcd.restore(await etcd.snapshot(), { bumpRevision: 1_000_000, markCompacted: true })
  if (!bumps) {
    await expect(restored).rejects.toThrow('needs 3.6 or newer')
    expect(etcd.pid).toBe(pid)
    return
  }
  await restored
  const { value, revision } = await read(etcd.endpoint, 'a')
  expect(value).toBe('1')
  expect(revision).toBeGreaterThan(1_000_000)
  await expect(ask(etcd.endpoint, 'Range', { key: 'a', revision: 3 })).rejects.toMatchObject({
    details: expect.stringContaining('has been compacted'),
  })
})

test.concurrent('one member of a cluster cannot be restored alone', async () => {
  await using cluster = await startEtcdCluster({ members: 2 })
  const [member] = cluster.members
  const snapshot = await member!.snapshot()
  await expect(member!.restore(snapshot)).rejects.toThrow('cannot be restored alone')
  expect(member!.pid).toBeTypeOf('number')
})
