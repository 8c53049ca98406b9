import { X509Certificate } from 'node:crypto'
import { Agent, request } from 'node:https'
import type { Socket } from 'node:net'
import { connect } from 'node:tls'
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
  expect(etcd.endpoint).toBe(`https://localhost:${etcd.port}`)
  expect(await health(etcd.endpoint, trusted(etcd))).toBe(200)
  expect(await health(etcd.endpoint.replace('localhost', '127.0.0.1'), trusted(etcd))).toBe(200)
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
  await expect(health(endpoint, trusted(etcd))).rejects.toThrow(/certificate|unknown ca|ECONNRESET/)
  const expired = await authority!.issue({ expired: true })
  await expect(health(endpoint, { ...trusted(etcd), ...expired })).rejects.toThrow(
    /certificate|unknown ca|ECONNRESET/,
  )
  const stranger = await (await createCertificateAuthority()).issue({ commonName: 'orders' })
  await expect(health(endpoint, { ...trusted(etcd), ...stranger })).rejects.toThrow(
    /certificate|unknown ca|ECONNRESET/,
  )
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

/** When the certificate that a server shows ends. */
function validTo(port: number, tls: Partial<ClientTls>): Promise<Date> {
  return new Promise((resolve, reject) => {
    const socket = connect({ port, host: '127.0.0.1', rejectUnauthorized: false, ...tls }, () => {
      resolve(new Date(socket.getPeerCertificate().valid_to))
      socket.destroy()
    }).once('error', reject)
  })
}

test('a certificate can be for some seconds only', async () => {
  const authority = await createCertificateAuthority()
  const { cert } = await authority.issue({ validFor: 5 })
  const { validTo } = new X509Certificate(cert)
  const left = Date.parse(validTo) - Date.now()
  expect(left).toBeLessThanOrEqual(5000)
  expect(left).toBeGreaterThan(-10_000)
  await expect(authority.issue({ validFor: 0 })).rejects.toThrow(RangeError)
})

test('the certificate of a server is replaced while it runs, and open connections go on', async () => {
  await using etcd = await startEtcdBinary({ tls: { clientCerts: true } })
  const agent = new Agent({ keepAlive: true, maxSockets: 1, ...etcd.tls })
  const get = () =>
    new Promise<Socket>((resolve, reject) => {
      request(`${etcd.endpoint}/health`, { agent }, response => {
        response.resume().once('end', () => resolve(response.socket))
      })
        .once('error', reject)
        .end()
    })
  const socket = await get()
  const before = await validTo(etcd.port, etcd.tls!)
  await etcd.replaceCertificate({ validFor: 3600 })
  expect((await validTo(etcd.port, etcd.tls!)).getTime()).toBeLessThan(before.getTime())
  expect(await health(etcd.endpoint, etcd.tls!)).toBe(200)
  expect(await get()).toBe(socket)
  await etcd.replaceCertificate({ expired: true })
  await expect(health(etcd.endpoint, etcd.tls!)).rejects.toThrow('certificate has expired')
  await etcd.replaceCertificate()
  await etcd.restart()
  expect(await health(etcd.endpoint, etcd.tls!)).toBe(200)
  agent.destroy()
})

test('an etcd without TLS has no certificate to replace', async () => {
  await using etcd = await startEtcdBinary()
  await expect(etcd.replaceCertificate()).rejects.toThrow('no TLS')
})
