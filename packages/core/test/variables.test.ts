import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createRegistry, type RegistryOptions } from '@etcd-register/core'
import { type CertificateAuthority, createCertificateAuthority } from '@etcd-register/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { knownAddress } from '../src/instance/address.ts'
import { resolveOptions } from '../src/registry/options.ts'
import { defaultServiceName } from '../src/server/service-name.ts'

let authority: CertificateAuthority
let folder: string

beforeAll(async () => {
  authority = await createCertificateAuthority()
  folder = mkdtempSync(join(tmpdir(), 'variables-'))
})

afterAll(() => rmSync(folder, { recursive: true }))

const messageOf = (run: () => unknown): string => {
  try {
    run()
  } catch (error) {
    return (error as Error).message
  }
  throw new Error('It did not throw.')
}

describe('a value that breaks its rule is refused under the name of the variable that it came from', () => {
  test.each<[string, NodeJS.ProcessEnv]>([
    ['ETCD_ENDPOINTS', { ETCD_ENDPOINTS: 'a b' }],
    ['ETCDCTL_ENDPOINTS', { ETCDCTL_ENDPOINTS: 'ftp://a' }],
    ['ETCD_ENDPOINTS', { ETCD_ENDPOINTS: ' , ' }],
    ['ETCDCTL_DISCOVERY_SRV', { ETCDCTL_DISCOVERY_SRV: '10.0.0.1' }],
    ['ETCDCTL_DISCOVERY_SRV_NAME', { ETCDCTL_DISCOVERY_SRV: 'a.test', ETCDCTL_DISCOVERY_SRV_NAME: 'a b' }],
    ['ETCDCTL_USER', { ETCDCTL_USER: 'no-colon' }],
    ['ETCD_CACERT', { ETCD_CACERT: '/nope' }],
    ['ETCDCTL_CACERT', { ETCDCTL_CACERT: '/nope' }],
    ['ETCD_CERT', { ETCD_CERT: '/nope', ETCD_KEY: '/nope' }],
    ['ETCD_KEY', { ETCD_KEY: '/nope' }],
    ['ETCDCTL_KEY', { ETCDCTL_KEY: '/nope' }],
  ])('%s of %j', (variable, env) => {
    const message = messageOf(() => resolveOptions({}, env))
    expect(message).toContain(`(from ${variable})`)
    expect(Object.keys(env).filter(name => name !== variable && message.includes(`from ${name})`))).toEqual(
      [],
    )
  })

  test('ETCD_CERT without ETCD_KEY, and the other way round', async () => {
    const { cert, key } = await authority.issue()
    expect(messageOf(() => resolveOptions({}, { ETCD_CERT: cert }))).toBe(
      'Option "tls.key" must be given together with tls.cert (from ETCD_CERT); got undefined.',
    )
    expect(messageOf(() => resolveOptions({}, { ETCDCTL_KEY: key }))).toBe(
      'Option "tls.cert" must be given together with tls.key (from ETCDCTL_KEY); got undefined.',
    )
    const other = await authority.issue()
    expect(messageOf(() => resolveOptions({}, { ETCD_CERT: cert, ETCD_KEY: other.key }))).toBe(
      'Option "tls.key (from ETCD_KEY)" must be the key of the certificate in tls.cert (from ETCD_CERT); got "the key of another one".',
    )
  })

  test('SERVICE_NAME', () => {
    expect(messageOf(() => defaultServiceName({ SERVICE_NAME: 'bad name' }))).toBe(
      'Option "name (from SERVICE_NAME)" must be 1 to 253 of [A-Za-z0-9._-], the first a letter or a digit; got "bad name".',
    )
  })

  test('the name in package.json, with its path', () => {
    mkdirSync(join(folder, 'app'))
    const file = join(folder, 'app', 'package.json')
    writeFileSync(file, '{"name":"@scope/-app"}')
    expect(messageOf(() => defaultServiceName({}, join(folder, 'app', 'main.js')))).toBe(
      `Option "name (from ${file})" must be 1 to 253 of [A-Za-z0-9._-], the first a letter or a digit; got "-app".`,
    )
  })

  test.each(['SERVICE_HOST', 'POD_IP', 'HOST_IP'])('%s', variable => {
    const run = () => knownAddress({ etcdHosts: [], env: { [variable]: 'a b\u001b' } })
    expect(messageOf(run)).toBe(
      `Environment variable ${variable} must be an IP address or a host name that others can reach; got "a b\\u001b".`,
    )
  })
})

test('an option that is given goes before the variable, and the message names the option alone', () => {
  const env = { ETCD_ENDPOINTS: 'a b', ETCD_CACERT: '/nope', ETCDCTL_USER: 'no-colon' }
  expect(messageOf(() => resolveOptions({ hosts: 'c d' }, env))).toMatch(/^Option "hosts" must be/)
  expect(messageOf(() => resolveOptions({ hosts: 'https://c', tls: { ca: '/none' } }, env))).toMatch(
    /^Option "tls.ca" must be/,
  )
})

describe('with certificates etcd is reached over TLS, or not at all', () => {
  const variables = ['ETCD_CACERT', 'ETCDCTL_CACERT']

  test.each(variables)('%s: an endpoint without a scheme is https://, and so is the default', variable => {
    for (const endpoints of [{}, { ETCDCTL_ENDPOINTS: 'a:1' }, { ETCD_ENDPOINTS: 'a:1,b:1,' }]) {
      const env = { ...endpoints, ETCDCTL_USER: 'orders:secret', [variable]: authority.ca }
      expect(resolveOptions({}, env)).toMatchObject({ secure: true, tls: { ca: Buffer.from(authority.ca) } })
    }
    expect(resolveOptions({ hosts: 'a:1' }, { [variable]: authority.ca }).secure).toBe(true)
  })

  test.each([...variables, 'ETCD_CERT', 'ETCDCTL_CERT', 'ETCD_KEY', 'ETCDCTL_KEY'])(
    '%s: http:// is refused with both names',
    variable => {
      const env = { [variable]: '/etc/etcd/some.pem' }
      const rule = `https:// where ${variable} is set; got ["http://a:1"].`
      expect(messageOf(() => resolveOptions({ hosts: 'http://a:1' }, env))).toBe(
        `Option "hosts" must be ${rule}`,
      )
      expect(messageOf(() => resolveOptions({}, { ...env, ETCDCTL_ENDPOINTS: 'http://a:1' }))).toBe(
        `Option "hosts (from ETCDCTL_ENDPOINTS)" must be ${rule}`,
      )
      expect(messageOf(() => resolveOptions({ hosts: 'srv+http://a.test' }, env))).toContain(
        `srv+https:// where ${variable} is set`,
      )
    },
  )

  test('ETCDCTL_INSECURE_TRANSPORT=false asks for TLS with the authorities of the system, as for etcdctl', () => {
    const env = { ETCDCTL_ENDPOINTS: 'a:1', ETCDCTL_INSECURE_TRANSPORT: 'false' }
    expect(resolveOptions({}, env).secure).toBe(true)
    expect(resolveOptions({}, { ...env, ETCDCTL_INSECURE_TRANSPORT: 'true' }).secure).toBe(false)
  })
})

describe('one warning says that a password goes over http:// to another host than this', () => {
  const auth = { username: 'orders', password: 's3cret' }
  const warningsOf = async (options: RegistryOptions) => {
    const warnings: string[] = []
    const warn = (fields: object, message: string) => warnings.push(`${JSON.stringify(fields)} ${message}`)
    await createRegistry({ ...options, logger: { debug() {}, info() {}, warn, error() {} } }).close()
    return warnings
  }

  test.each<[RegistryOptions, string]>([
    [{ hosts: '10.0.0.5:2379', auth }, '10.0.0.5:2379'],
    [{ hosts: ['http://127.0.0.1', 'etcd', '[fd00::1]'], auth }, 'etcd:2379, [fd00::1]:2379'],
    [{ hosts: 'etcd', auth: async () => auth }, 'etcd:2379'],
    [{ hosts: 'srv+http://a.test', auth }, '_etcd-client._tcp.a.test'],
  ])('%o', async (options, where) => {
    const warnings = await warningsOf(options)
    expect(warnings).toEqual([
      expect.stringContaining(`The password for etcd goes over http:// to ${where}:`),
    ])
    expect(warnings[0]).not.toContain('s3cret')
  })

  test.each<RegistryOptions>([
    { hosts: 'https://etcd', auth },
    { hosts: 'srv+https://a.test', auth },
    { hosts: ['http://127.0.0.1', 'localhost', '[::1]:1'], auth },
    { hosts: 'etcd' },
  ])('not with %o', async options => {
    expect(await warningsOf(options)).toEqual([])
  })
})

test('ETCDCTL_USER can be a name alone, with ETCDCTL_PASSWORD', () => {
  const env = { ETCDCTL_USER: 'orders', ETCDCTL_PASSWORD: 'a:b' }
  expect(resolveOptions({}, env).auth).toMatchObject({ username: 'orders', password: 'a:b' })
})

test('empty parts of a list of endpoints are left out', () => {
  expect(resolveOptions({}, { ETCD_ENDPOINTS: 'a:2379,b:2379,' }).hosts).toEqual(['a:2379', 'b:2379'])
  expect(resolveOptions({ hosts: ', a:1 ,,' }, {}).hosts).toEqual(['a:1'])
  expect(resolveOptions({ hosts: 'a:2379,b:2379,'.split(',') }, {}).hosts).toEqual(['a:2379', 'b:2379'])
})
