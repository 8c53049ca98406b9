import { type Etcd, startEtcd, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { type EtcdClient, etcdClient } from './support/etcd-client.ts'

const role = { prefix: '/a/', permission: 'readwrite' } as const

describe.each<[string, () => Promise<Etcd>]>([
  ['etcd', startEtcdBinary],
  ['embedded etcd', startEtcd],
])('authentication of the %s, while it runs', (_, start) => {
  let etcd: Etcd
  let client: EtcdClient

  beforeAll(async () => {
    etcd = await start()
    client = etcdClient(etcd.endpoint)
  })
  afterAll(async () => {
    client?.close()
    await etcd?.stop()
  })

  /** A new connection: an old one waits before it tries again where etcd was away. */
  const reconnect = () => {
    client.close()
    client = etcdClient(etcd.endpoint)
  }
  const login = async (name: string, password: string) =>
    (await client.call('Authenticate', { name, password })).token as string

  test('it is off until it is turned on, and needs a root password the first time', async () => {
    await expect(etcd.enableAuth()).rejects.toThrow('the password of root')
    await client.call('Put', { key: '/a/1', value: '' })
    await etcd.disableAuth()
  })

  test('it is turned on and off', async () => {
    await etcd.enableAuth({ rootPassword: 'r', users: [{ name: 'u', password: 'p', role }] })
    await expect(client.call('Put', { key: '/a/1', value: '' })).rejects.toMatchObject({ code: 3 })
    const token = await login('u', 'p')
    await client.call('Put', { key: '/a/1', value: '' }, token)
    await expect(client.call('Put', { key: '/b', value: '' }, token)).rejects.toMatchObject({ code: 7 })
    expect(await etcd.etcdctl('put', '/b', 'x')).toBe('OK\n')
    await etcd.compact()
    await etcd.disableAuth()
    await client.call('Put', { key: '/b', value: '' })
    expect(await etcd.etcdctl('put', '/b', 'x')).toBe('OK\n')
    await expect(login('u', 'p')).rejects.toMatchObject({ code: 9 })
  })

  test('it is turned on again with the same users, and with others while it is on', async () => {
    await etcd.enableAuth()
    await login('u', 'p')
    await etcd.enableAuth({
      rootPassword: 'new',
      users: [
        { name: 'u', password: 'q' },
        { name: 'v', password: 'w' },
      ],
    })
    await expect(login('u', 'p')).rejects.toMatchObject({ code: 3 })
    for (const [name, password] of [
      ['root', 'new'],
      ['u', 'q'],
      ['v', 'w'],
    ] as const)
      await login(name, password)
    // what the role may was not given again, and stays
    await client.call('Put', { key: '/a/1', value: '' }, await login('u', 'q'))
    await etcd.compact()
  })

  test('a restart and a wipe keep it as it is', async () => {
    await etcd.restart()
    reconnect()
    await login('v', 'w')
    await etcd.wipe()
    reconnect()
    await login('v', 'w')
    await expect(client.call('Range', { key: 'a' })).rejects.toMatchObject({ code: 3 })
    await etcd.disableAuth()
    await etcd.wipe()
    reconnect()
    await client.call('Range', { key: 'a' })
    await expect(login('v', 'w')).rejects.toMatchObject({ code: 9 })
  })

  test('the controls go on where a client turned it off', async () => {
    await etcd.enableAuth({ rootPassword: 'r' })
    await client.call('AuthDisable', {}, await login('root', 'r'))
    await etcd.compact()
    await etcd.enableAuth()
    await login('root', 'r')
  })
})

test('tokens can be JWTs, which any change of users makes invalid', async () => {
  const users = [{ name: 'u', password: 'p', role }]
  await using etcd = await startEtcdBinary({
    auth: { rootPassword: 'r', tokens: 'jwt', tokenTtl: 600, users },
  })
  const client = etcdClient(etcd.endpoint)
  const login = async () => (await client.call('Authenticate', { name: 'u', password: 'p' })).token as string
  const token = await login()
  const [head, body] = token.split('.').map(part => Buffer.from(part, 'base64url').toString())
  expect(JSON.parse(head!)).toMatchObject({ alg: 'RS256' })
  expect(JSON.parse(body!)).toMatchObject({ username: 'u' })
  expect(JSON.parse(body!).exp * 1000 - Date.now()).toBeGreaterThan(500_000)
  await client.call('Put', { key: '/a/1', value: '' }, token)
  await etcd.etcdctl('user', 'add', 'other:x')
  await expect(client.call('Put', { key: '/a/1', value: '' }, token)).rejects.toMatchObject({
    code: 3,
    details: expect.stringContaining('revision of auth store is old'),
  })
  await client.call('Put', { key: '/a/1', value: '' }, await login())
  // the controls always take a new one
  await etcd.enableAuth({ rootPassword: 'r', users: [{ name: 'u', password: 'q' }] })
  await etcd.compact()
  await etcd.disableAuth()
  client.close()
})

test('the embedded etcd refuses JWTs', async () => {
  await expect(startEtcd({ auth: { rootPassword: 'r', tokens: 'jwt' } })).rejects.toThrow('no JWT')
})
