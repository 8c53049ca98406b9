import { execFile } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { RegistryOptions } from '@etcd-register/core'
import { createCertificateAuthority, type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { impatientRegistry } from './impatient-registry.ts'

forbidUnhandled()

let plain: EtcdMember
let secure: EtcdMember
let mutual: EtcdMember
let expired: EtcdMember
let elsewhere: EtcdMember
let folder: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'tls-'))
  ;[plain, secure, mutual, expired, elsewhere] = await Promise.all([
    startEtcdBinary(),
    startEtcdBinary({ tls: true }),
    startEtcdBinary({ tls: { clientCerts: true } }),
    startEtcdBinary({ tls: { server: { expired: true } } }),
    startEtcdBinary({ tls: { server: { hosts: ['elsewhere.test'] } } }),
  ])
})

afterAll(async () => {
  rmSync(folder, { recursive: true })
  await Promise.all([plain, secure, mutual, expired, elsewhere].map(etcd => etcd?.stop()))
})

const service = { port: 8000, host: '192.0.2.1' }

/** Its endpoint has its name. */
const byAddress = (etcd: EtcdMember) => etcd.endpoint.replace('localhost', '127.0.0.1')
const ca = (etcd: EtcdMember) => ({ ca: etcd.tls!.ca })

function file(name: string, text: string): string {
  const path = join(folder, name)
  writeFileSync(path, text)
  return path
}

describe.concurrent('a registry registers and discovers', () => {
  async function works(name: string, options: RegistryOptions, env: NodeJS.ProcessEnv = {}) {
    const { registry, warnings } = impatientRegistry(options, env)
    try {
      const registration = registry.register({ name, ...service })
      const discovery = registry.discover(name)
      await registration.ready()
      await until(() => discovery.instances.length === 1)
      expect(discovery.instances[0]).toMatchObject({ host: '192.0.2.1' })
      expect(warnings).toEqual([])
    } finally {
      await registry.close()
    }
  }

  test('over TLS, with the authority as text', () =>
    works('text', { hosts: secure.endpoint, tls: ca(secure) }))

  test('over TLS, with etcd called by its address, without a warning of Node', () =>
    works('address', { hosts: byAddress(secure), tls: ca(secure) }))

  test('over TLS, with the authority as a file that the environment names', () => {
    const env = { ETCD_ENDPOINTS: secure.endpoint, ETCD_CACERT: file('secure.pem', secure.tls!.ca) }
    return works('environment', {}, env)
  })

  test('with a certificate of its own, as files', () => {
    const { ca, cert, key } = mutual.tls!
    const tls = { ca: file('ca.pem', ca), cert: file('client.pem', cert), key: file('client.key', key) }
    return works('files', { hosts: mutual.endpoint.replace('https://', ''), tls })
  })

  test('with a certificate of its own, of the environment', () => {
    const { ca, cert, key } = mutual.tls!
    const env = { ETCD_ENDPOINTS: mutual.endpoint, ETCD_CACERT: ca, ETCD_CERT: cert, ETCD_KEY: key }
    return works('mutual-environment', {}, env)
  })
})

describe.concurrent('a fault of certificates is one error with the fix in it, and one warning', () => {
  test.each<[string, () => Promise<RegistryOptions> | RegistryOptions, RegExp]>([
    [
      'etcd of another authority',
      () => ({ hosts: secure.endpoint, tls: ca(mutual) }),
      /\(unable to verify the first certificate[^)]*\)\. Its certificate is not trusted: give the authority .* as tls\.ca \(ETCD_CACERT\)\.$/,
    ],
    [
      'no authority given',
      () => ({ hosts: secure.endpoint }),
      /\(unable to verify the first certificate[^)]*\)\. Its certificate is not trusted: give the authority .* as tls\.ca \(ETCD_CACERT\)\.$/,
    ],
    [
      'an expired certificate',
      () => ({ hosts: expired.endpoint, tls: ca(expired) }),
      /\(certificate has expired\)\. Renew the certificate of etcd/,
    ],
    [
      'a certificate for another host',
      () => ({ hosts: elsewhere.endpoint, tls: ca(elsewhere) }),
      /\(Hostname\/IP does not match .*elsewhere\.test\)\. Its certificate is for other hosts: name one of them in "hosts"/,
    ],
    [
      'a certificate for another address',
      () => ({ hosts: byAddress(elsewhere), tls: ca(elsewhere) }),
      /IP: 127\.0\.0\.1 is not in the cert's list\)\. Its certificate is for other hosts/,
    ],
    [
      'no certificate of ours',
      () => ({ hosts: mutual.endpoint, tls: ca(mutual) }),
      /\([a-z0-9/ ]*(?:bad certificate|certificate required)\)\. It takes no client without .* tls\.cert and tls\.key/,
    ],
    [
      'an expired certificate of ours',
      async () => {
        const certificate = await mutual.authority!.issue({ expired: true })
        return { hosts: mutual.endpoint, tls: { ...ca(mutual), ...certificate } }
      },
      /\([a-z0-9/ ]*(?:bad certificate|certificate expired)\)\. It takes no client without/,
    ],
    [
      'a certificate of ours by a stranger',
      async () => {
        const certificate = await (await createCertificateAuthority()).issue()
        return { hosts: mutual.endpoint, tls: { ...ca(mutual), ...certificate } }
      },
      /\([a-z0-9/ ]*(?:bad certificate|unknown ca)\)\. It takes no client without/,
    ],
  ])('%s', async (_, options, expected) => {
    const { registry, warnings, tries } = impatientRegistry(await options())
    try {
      // In bounded time: long before this test gives up.
      const signal = AbortSignal.timeout(10_000)
      const [registering, discovering] = await Promise.all(
        [registry.register({ name: 'orders', ...service }), registry.discover('orders')].map(it =>
          it.ready({ signal }).then(
            () => undefined,
            error => error,
          ),
        ),
      )
      expect(registering).toMatchObject({ code: 'ERR_ETCD_TLS', retryable: false })
      expect(registering.message).toMatch(expected)
      expect(registering.message).toMatch(
        /^No secure connection to etcd at (?:localhost|127\.0\.0\.1):\d+ \(/,
      )
      expect(discovering).toMatchObject({ code: 'ERR_ETCD_TLS' })
      const before = tries()
      await until(() => tries() - before > 4)
      expect(warnings).toEqual([`${registering.message} Retrying.`])
      expect(registry.status()).toMatchObject({
        etcd: { connection: 'down', lastError: { code: 'ERR_ETCD_TLS' } },
        registrations: [{ state: 'registering', lastError: { code: 'ERR_ETCD_TLS' } }],
        watches: [{ stale: true, lastError: { code: 'ERR_ETCD_TLS' } }],
      })
    } finally {
      await registry.close()
    }
  })

  // A proxy with nobody behind it looks the same, so that waiting can help.
  test.each([
    ['plain text to an etcd with TLS', () => ({ hosts: secure.endpoint.replace('https', 'http') })],
    ['TLS to an etcd without', () => ({ hosts: plain.endpoint.replace('http', 'https') })],
  ])('%s is told as one warning with the fix in it, and tried on', async (_, options) => {
    const { registry, warnings, tries } = impatientRegistry(options())
    try {
      const registration = registry.register({ name: 'orders', ...service })
      await until(() => tries() > 4)
      expect(warnings).toEqual([
        expect.stringMatching(
          /does "hosts" say https:\/\/ where etcd speaks TLS, and only there\? Retrying\.$/,
        ),
      ])
      expect(warnings[0], 'the words of gRPC without its time').not.toMatch(/\d{4}-\d\d-\d\dT/)
      const { lastError } = registry.status().etcd
      expect(lastError).toMatchObject({ code: 'ERR_ETCD_UNAVAILABLE' })
      expect(registration.state).toBe('registering')
    } finally {
      await registry.close()
    }
  })
})

test('once etcd has a good certificate, a registration that failed for its old one is registered', async () => {
  const { registry } = impatientRegistry({ hosts: secure.endpoint, tls: ca(secure) })
  try {
    await secure.kill()
    const stranger = await startEtcdBinary({ port: secure.port, tls: true })
    const registration = registry.register({ name: 'patient', ...service })
    await expect(registration.ready()).rejects.toMatchObject({ code: 'ERR_ETCD_TLS' })
    await stranger.stop()
    await secure.restart()
    await until(() => registration.state === 'registered')
    await registration.ready()
  } finally {
    await registry.close()
  }
})

describe.concurrent('a variable that turns the check of certificates off elsewhere has no effect, and one warning says so', () => {
  const app = fileURLToPath(new URL('../fixtures/say-warnings.mjs', import.meta.url))

  const off = { NODE_TLS_REJECT_UNAUTHORIZED: '0' }

  test.for<[string, () => NodeJS.ProcessEnv, RegExp]>([
    [
      'of etcdctl',
      () => ({ ETCD_ENDPOINTS: secure.endpoint, ETCDCTL_INSECURE_SKIP_TLS_VERIFY: 'true' }),
      /Its certificate is not trusted: .* ETCDCTL_INSECURE_SKIP_TLS_VERIFY has no effect here\. Retrying\.$/,
    ],
    [
      'of Node, with an unknown authority',
      () => ({ ETCD_ENDPOINTS: secure.endpoint, ...off }),
      /Its certificate is not trusted: give the authority that signed it as tls\.ca \(ETCD_CACERT\)\. NODE_TLS_REJECT_UNAUTHORIZED has no effect here\. Retrying\.$/,
    ],
    [
      'of Node, with a certificate that is expired',
      () => ({ ETCD_ENDPOINTS: expired.endpoint, ETCD_CACERT: file('expired.pem', expired.tls!.ca), ...off }),
      /Renew the certificate of etcd.* NODE_TLS_REJECT_UNAUTHORIZED has no effect here\. Retrying\.$/,
    ],
    [
      'of Node, with a certificate of another host',
      () => ({
        ETCD_ENDPOINTS: elsewhere.endpoint,
        ETCD_CACERT: file('elsewhere.pem', elsewhere.tls!.ca),
        ...off,
      }),
      /Its certificate is for other hosts.* NODE_TLS_REJECT_UNAUTHORIZED has no effect here\. Retrying\.$/,
    ],
  ])('%s', async ([, env, expected], t) => {
    const { stdout } = await promisify(execFile)(process.execPath, ['--no-warnings', app], {
      env: env(),
    })
    t.expect(stdout.trim()).toMatch(/^No secure connection to etcd at localhost:/)
    t.expect(stdout.trim()).toMatch(expected)
  })
})
