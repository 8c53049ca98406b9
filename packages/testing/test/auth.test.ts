import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'

let etcd: EtcdMember

beforeAll(async () => {
  etcd = await startEtcdBinary({
    auth: {
      rootPassword: 'secret',
      tokenTtl: 1,
      users: [
        { name: 'writer', password: 'w', role: { prefix: '/services/', permission: 'readwrite' } },
        { name: 'reader', password: 'r', role: { prefix: '/services/', permission: 'read' } },
        { name: 'nobody', password: 'n' },
      ],
    },
  })
})

afterAll(() => etcd.stop())

async function gateway(path: string, body: object, token?: string) {
  const response = await fetch(`${etcd.endpoint}/v3${path}`, {
    method: 'POST',
    headers: token === undefined ? {} : { authorization: token },
    body: JSON.stringify(body),
  })
  return (await response.json()) as { token: string; message?: string }
}

const login = async (name: string, password: string) =>
  (await gateway('/auth/authenticate', { name, password })).token
const base64 = (text: string) => Buffer.from(text).toString('base64')
const put = (key: string, token?: string) => gateway('/kv/put', { key: base64(key), value: '' }, token)
const get = (key: string, token?: string) => gateway('/kv/range', { key: base64(key) }, token)

test('root may do everything, nobody may without a login', async () => {
  expect(await etcd.etcdctl('put', '/other', 'x')).toContain('OK')
  expect((await put('/services/a')).message).toContain('user name is empty')
})

test('a user may touch its prefix and nothing else', async () => {
  const token = await login('writer', 'w')
  expect((await put('/services/a', token)).message).toBeUndefined()
  expect((await put('/services', token)).message).toContain('permission denied')
  expect((await put('/services0', token)).message).toContain('permission denied')
})

test('a reader may not write, a user without a role may do neither', async () => {
  const reader = await login('reader', 'r')
  expect((await get('/services/a', reader)).message).toBeUndefined()
  expect((await put('/services/a', reader)).message).toContain('permission denied')
  expect((await get('/services/a', await login('nobody', 'n'))).message).toContain('permission denied')
})

test('a token ends after its time to live', async () => {
  const token = await login('reader', 'r')
  // each use prolongs the token, so the pause between two tries is longer than its life
  const pause = { timeout: 30_000, interval: 1500 }
  await expect
    .poll(async () => (await get('/services/a', token)).message, pause)
    .toContain('invalid auth token')
})

test('a wiped etcd has its users again', async () => {
  await etcd.restart({ wipe: true })
  expect((await get('/services/a', await login('reader', 'r'))).message).toBeUndefined()
  expect((await get('/services/a')).message).toContain('user name is empty')
  expect(await etcd.compact()).toBe(1n)
})
