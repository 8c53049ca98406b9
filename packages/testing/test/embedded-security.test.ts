import { createCertificateAuthority, type EmbeddedEtcd, startEtcd } from '@etcd-register/testing'
import { expect, onTestFinished, test } from 'vitest'
import { type ClientTls, type EtcdClient, etcdClient, secureChannel } from './support/etcd-client.ts'

const users = [
  { name: 'orders', password: 'secret', role: { prefix: '/services/', permission: 'readwrite' } },
] as const
const auth = { rootPassword: 'root', tokenTtl: 60, users }
const put = { key: '/services/a', value: 'x' }

async function start(options: Parameters<typeof startEtcd>[0]): Promise<EmbeddedEtcd> {
  const etcd = await startEtcd(options)
  onTestFinished(() => etcd.stop())
  return etcd
}

function connect({ endpoint }: EmbeddedEtcd, tls?: ClientTls): EtcdClient {
  const client = etcdClient(endpoint, tls && secureChannel(tls))
  onTestFinished(() => client.close())
  return client
}

const login = async ({ call }: EtcdClient, name = 'orders', password = 'secret') =>
  (await call('Authenticate', { name, password })).token as string

test('with TLS it is trusted with its own authority, and with no other', async () => {
  const etcd = await start({ tls: true })
  expect(etcd.endpoint).toBe(`https://localhost:${etcd.port}`)
  await connect(etcd, { ca: etcd.tls!.ca }).call('Put', put)
  const { ca } = await createCertificateAuthority()
  await expect(connect(etcd, { ca }).call('Put', put)).rejects.toMatchObject({ code: 14 })
  await expect(connect(etcd).call('Put', put)).rejects.toMatchObject({ code: 14 })
})

test.each([
  [{ tls: true, host: '0.0.0.0' }, 'localhost'],
  [{ tls: { server: { hosts: ['elsewhere.test'] } } }, 'localhost'],
  [{ tls: { server: { hosts: ['127.0.0.1'] } } }, '127.0.0.1'],
  [{ tls: true, host: '127.0.0.2' }, '127.0.0.2'],
])('with %j clients are told %s', async (options, host) => {
  const etcd = await start(options)
  expect(etcd.endpoint).toBe(`https://${host}:${etcd.port}`)
})

test('it can ask for client certificates, and takes none but its own', async () => {
  const etcd = await start({ tls: { clientCerts: true } })
  await connect(etcd, etcd.tls).call('Put', put)
  await expect(connect(etcd, { ca: etcd.tls!.ca }).call('Put', put)).rejects.toMatchObject({ code: 14 })
  const stranger = await (await createCertificateAuthority()).issue()
  const tls = { ca: etcd.tls!.ca, ...stranger }
  await expect(connect(etcd, tls).call('Put', put)).rejects.toMatchObject({ code: 14 })
})

test('the common name of a client certificate is a user', async () => {
  const etcd = await start({ tls: { clientCerts: true, commonName: 'orders' }, auth })
  const client = connect(etcd, etcd.tls)
  await client.call('Put', put)
  await expect(client.call('Put', { key: '/other', value: '' })).rejects.toMatchObject({ code: 7 })
  const unknown = await etcd.authority!.issue({ commonName: 'unknown' })
  const denied = connect(etcd, { ca: etcd.tls!.ca, ...unknown }).call('Put', put)
  await expect(denied).rejects.toMatchObject({ code: 7 })
})

test('a frozen etcd with TLS does not even shake hands', async () => {
  const etcd = await start({ tls: true })
  await etcd.freeze()
  let answered = false
  const call = connect(etcd, { ca: etcd.tls!.ca })
    .call('Put', put)
    .then(() => {
      answered = true
    })
  const impatient = connect(etcd, { ca: etcd.tls!.ca }).call('Put', put, undefined, 100)
  await expect(impatient).rejects.toMatchObject({ code: 4 })
  expect(answered).toBe(false)
  etcd.thaw()
  await call
})

test('etcdctl is root, over TLS as well', async () => {
  const etcd = await start({ tls: { clientCerts: true }, auth })
  expect(await etcd.etcdctl('put', '/other', 'x')).toBe('OK\n')
  expect(await etcd.etcdctl('user', 'list')).toBe('orders\nroot\n')
  expect(await etcd.etcdctl('endpoint', 'status')).toContain('3.6.16')
})

test('a token ends when time is moved past its life, and each use prolongs it', async () => {
  const etcd = await start({ auth })
  const client = connect(etcd)
  const token = await login(client)
  for (let count = 0; count < 3; count++) {
    etcd.advance(50_000)
    await client.call('Put', put, token)
  }
  etcd.advance(60_000)
  const late = client.call('Put', put, token)
  await expect(late).rejects.toMatchObject({ code: 16, details: 'etcdserver: invalid auth token' })
})

test('all tokens can be ended at once, and a new login helps', async () => {
  const etcd = await start({ auth })
  const client = connect(etcd)
  const token = await login(client)
  etcd.expireTokens()
  await expect(client.call('Put', put, token)).rejects.toMatchObject({ code: 16 })
  await client.call('Put', put, await login(client))
})

test('a wiped etcd has its users again', async () => {
  const etcd = await start({ auth })
  const token = await login(connect(etcd))
  await etcd.wipe()
  const client = connect(etcd)
  await expect(client.call('Put', put, token)).rejects.toMatchObject({ code: 16 })
  await client.call('Put', put, await login(client))
})

test('permission is needed for what is nested in a transaction as well', async () => {
  const etcd = await start({ auth })
  const client = connect(etcd)
  const nested = { request_txn: { success: [{ request_put: { key: '/other', value: '' } }] } }
  const call = client.call('Txn', { success: [nested] }, await login(client))
  await expect(call).rejects.toMatchObject({ code: 7 })
})
