import { existsSync } from 'node:fs'
import { type EtcdCluster, type EtcdMember, startEtcdCluster } from '@etcd-register/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { folderOf, isAlive } from './process-files.ts'

let cluster: EtcdCluster

beforeAll(async () => {
  cluster = await startEtcdCluster({ tls: true, auth: { rootPassword: 'secret' } })
})

afterAll(() => cluster.stop())

const value = async (member: EtcdMember, key: string) =>
  (await member.etcdctl('get', '--print-value-only', key)).trim()

const others = (member: EtcdMember) => cluster.members.filter(other => other !== member)

test('three members share one store', async () => {
  expect(cluster.endpoints).toEqual(cluster.members.map(({ endpoint }) => endpoint))
  expect(new Set(cluster.endpoints).size).toBe(3)
  await cluster.members[0]!.etcdctl('put', 'shared', 'yes')
  expect(await Promise.all(cluster.members.map(member => value(member, 'shared')))).toEqual([
    'yes',
    'yes',
    'yes',
  ])
})

test('when the leader is killed another member leads, and the killed one follows after its restart', async () => {
  const first = await cluster.leader()
  await first.kill()
  const second = await cluster.leader()
  expect(second).not.toBe(first)
  await second.etcdctl('put', 'while-away', 'yes')
  await first.restart()
  expect(await value(first, 'while-away')).toBe('yes')
})

test('when the leader is frozen another member leads', async () => {
  const first = await cluster.leader()
  await first.freeze()
  const second = await cluster.leader()
  expect(others(first)).toContain(second)
  first.thaw()
  await expect.poll(async () => (await first.metrics()).get('etcd_server_is_leader')).toBe(0)
})

test('one member alone cannot be wiped, and keeps running', async () => {
  const [member] = cluster.members
  await expect(member!.restart({ wipe: true })).rejects.toThrow('cannot be emptied alone')
  expect(member!.pid).toBeTypeOf('number')
})

test('a number of members that makes no sense is refused', async () => {
  await expect(startEtcdCluster({ members: 0 })).rejects.toThrow(RangeError)
})

test('stop leaves no process and no folder, also of killed and frozen members', async () => {
  const stopping = await startEtcdCluster()
  const pids = stopping.members.map(({ pid }) => pid!)
  const folders = pids.map(folderOf)
  await stopping.members[0]!.kill()
  await stopping.members[1]!.freeze()
  await stopping.stop()
  await stopping.stop()
  expect(pids.filter(isAlive)).toEqual([])
  expect(folders.filter(existsSync)).toEqual([])
})
