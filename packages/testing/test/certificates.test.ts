import { request } from 'node:https'
import {
  type ClientTls,
  createCertificateAuthority,
  type EtcdMember,
  startEtcdBinary,
  startFaultProxy,
} from '@etcd-register/testing'
import { expect, test } from 'vitest'

/** Asks /health as a strict client does; rejects with the TLS error. */
function health(endpoint: string, tls: Partial<ClientTls>): Promise<number | undefined> {
  return new Promise((resolve, reject) => {
    request(`${endpoint}/health`, { ...tls, agent: false }, response => {
      response.resume()
      response.once('end', () => resolve(response.statusCode))
    })
      .once('error', reject)
      .end()
  })
}

const trusted = ({ tls }: EtcdMember) => ({ ca: tls!.ca })

test('an etcd with TLS is trusted with its own authority, and with no other', async () => {
  await using etcd = await startEtcdBinary({ tls: true })
  expect(etcd.endpoint).toMatch(/^https:/)
  expect(await health(etcd.endpoint, trusted(etcd))).toBe(200)
  expect(await health(etcd.endpoint.replace('127.0.0.1', 'localhost'), trusted(etcd))).toBe(200)
  await expect(health(etcd.endpoint, {})).rejects.toThrow('unable to verify')
  const stranger = await createCertificateAuthority()
  await expect(health(etcd.endpoint, { ca: stranger.ca })).rejects.toThrow('unable to verify')
  expect(await etcd.etcdctl('put', 'a', 'b')).toContain('OK')
  expect(await etcd.compact()).toBe(2n)
})

test('an etcd that asks for client certificates takes only its own, valid ones', async () => {
  await using etcd = await startEtcdBinary({ tls: { clientCerts: true, commonName: 'orders' } })
  const { authority, endpoint } = etcd
  expect(await health(endpoint, etcd.tls!)).toBe(200)
  await expect(health(endpoint, trusted(etcd))).rejects.toThrow(/certificate|ECONNRESET/)
  const expired = await authority!.issue({ expired: true })
  await expect(health(endpoint, { ...trusted(etcd), ...expired })).rejects.toThrow(/certificate|ECONNRESET/)
  const stranger = await (await createCertificateAuthority()).issue({ commonName: 'orders' })
  await expect(health(endpoint, { ...trusted(etcd), ...stranger })).rejects.toThrow(/certificate|ECONNRESET/)
  expect(await etcd.etcdctl('put', 'a', 'b')).toContain('OK')
  expect(await etcd.compact()).toBe(2n)
})

test('a server certificate can be expired or for another host, and the controls still work', async () => {
  await using expired = await startEtcdBinary({ tls: { server: { expired: true } } })
  await expect(health(expired.endpoint, trusted(expired))).rejects.toThrow('certificate has expired')
  expect(await expired.compact()).toBe(1n)
  await using elsewhere = await startEtcdBinary({ tls: { server: { hosts: ['elsewhere.test'] } } })
  await expect(health(elsewhere.endpoint, trusted(elsewhere))).rejects.toThrow('does not match')
  await elsewhere.restart({ wipe: true })
  expect(await elsewhere.compact()).toBe(1n)
})

test('TLS passes through the fault proxy untouched', async () => {
  await using etcd = await startEtcdBinary({ tls: { clientCerts: true } })
  await using proxy = await startFaultProxy(etcd)
  expect(await health(proxy.endpoint, etcd.tls!)).toBe(200)
})
