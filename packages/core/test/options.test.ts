import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import {
  createRegistry,
  EtcdRegisterError,
  goMicroFormat,
  goZeroFormat,
  grpcFormat,
  jsonFormat,
  kitexFormat,
  kratosFormat,
  plainFormat,
  type RegistryOptions,
  skydnsFormat,
  traefikFormat,
} from '@etcd-register/core'
import { type CertificateAuthority, createCertificateAuthority } from '@etcd-register/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { resolvePatch, resolveService } from '../src/instance/service-options.ts'
import { resolveOptions } from '../src/registry/options.ts'

const failing = {
  ...jsonFormat({ namespace: '/failing' }),
  name: 'failing',
  encode(): never {
    throw new Error('boom')
  },
}

test('a format that fails to write an instance is refused as it registers', () => {
  const registry = createRegistry({ format: failing, logger: false })
  expectRefused(() => registry.register({ name: 'orders', port: 8000 }), 'format', /boom/, '"failing"')
})

test.each<[string, string, string, string, NonNullable<RegistryOptions['format']>]>([
  ['kitex', 'grpc', 'kitex', 'kitex/', ['grpc', 'kitex']],
  ['traefik', 'traefik', 'go-zero', 'traefik/', ['traefik', 'go-zero']],
  ['services', 'json', 'go-zero', '/services/', ['json', goZeroFormat({ namespace: '/' })]],
  [
    'web',
    'kratos',
    'json',
    '/kratos/web/',
    [kratosFormat({ namespace: '/kratos' }), jsonFormat({ namespace: '/kratos/web' })],
  ],
  // Kratos lists without the slash.
  [
    'web',
    'kratos',
    'json',
    '/microservices/web/',
    ['kratos', jsonFormat({ namespace: '/microservices/web2' })],
  ],
])(
  'a service "%s" is refused as it registers where its keys in %s and %s meet: %s',
  (name, one, two, shared, format) => {
    const registry = createRegistry({ format, hosts: '127.0.0.1:1', logger: false })
    const advice = new RegExp(
      `share "${shared}"; give one of them a "namespace", or the service another name than "${name}"`,
    )
    expectRefused(() => registry.register({ name, port: 8000 }), 'format', advice, `["${one}", "${two}"]`)
    expect(registry.status().registrations).toEqual([])
  },
)

test.each<[string, unknown]>([
  ['nothing', undefined],
  ['a promise', Promise.resolve([])],
  ['an entry that is none', [null]],
  ['a key that is no string', [{ key: 7, value: '' }]],
  ['an empty key', [{ key: '', value: '' }]],
  ['a value that is no string', [{ key: '/a', value: {} }]],
  ['a key twice', [1, 2].map(() => ({ key: '/a', value: '' }))],
])('a format that writes %s is refused as it registers', (_, entries) => {
  const format = { ...jsonFormat(), name: 'odd', encode: () => entries as never }
  const registry = createRegistry({ format, logger: false })
  const register = () => registry.register({ name: 'orders', port: 8000 })
  expect(register).toThrow(/encode\(\) gives entries.* but that of "odd" does not/)
})

test('formats that write more keys than fit into one transaction of etcd are refused as they register', () => {
  const many = (namespace: string, count: number) => ({
    ...jsonFormat({ namespace }),
    encode: () => Array.from({ length: count }, (_, i) => ({ key: `${namespace}/orders/${i}`, value: '' })),
  })
  const registry = (...counts: number[]) =>
    createRegistry({
      format: counts.map((count, i) => many(`/${i}`, count)),
      hosts: '127.0.0.1:1',
      logger: false,
    })
  expect(() => registry(16, 17).register({ name: 'orders', port: 8000 })).toThrow(
    /write up to 32 keys together; got 33/,
  )
  registry(16, 16).register({ name: 'orders', port: 8000 }).deregister({ timeout: 0 })
})

const odd = (parts: object): object => ({ ...jsonFormat(), name: 'odd', ...parts })
const capable = (parts: object): object => odd({ capabilities: { ...jsonFormat().capabilities, ...parts } })

test.each<[object, string, RegExp]>([
  [odd({ capabilities: [] }), 'capabilities', /an object of read, status/],
  [capable({ read: undefined }), 'capabilities.read', /true or false/],
  [capable({ zone: 'yes' }), 'capabilities.zone', /true or false/],
  [capable({ status: () => true }), 'capabilities.status', /true or false/],
  [capable({ weight: 10 }), 'capabilities.weight', /true or false/],
  [capable({ protocol: 7 }), 'capabilities.protocol', /true, false, a URL scheme or a function/],
  [capable({ hostNames: 0 }), 'capabilities.hostNames', /true or false/],
  [capable({ reserved: 'weight' }), 'capabilities.reserved', /a list of names/],
  [odd({ namespace: '/prod' }), 'namespace', /\{ fixed \} or \{ default \}/],
  [odd({ namespace: {} }), 'namespace', /\{ fixed \} or \{ default \}/],
  [odd({ namespace: { fixed: 5 } }), 'namespace', /\{ fixed \} or \{ default \}/],
  [odd({ namespace: { default: '/prod/' } }), 'namespace', /without a slash at its end/],
  [odd({ isAnother: 'yes' }), 'isAnother', /a function/],
  [odd({ keepsSlash: false }), 'keepsSlash', /true, or left out/],
  [odd({ defaults: null }), 'defaults', /an object/],
  [odd({ defaults: { ttl: '30' } }), 'defaults.ttl', /seconds from 2 on/],
  [odd({ defaults: { ttl: 1 } }), 'defaults.ttl', /seconds from 2 on/],
  [odd({ defaults: { id: 'a' } }), 'defaults.id', /a function/],
  [odd({ defaults: { drainDelay: -1 } }), 'defaults.drainDelay', /milliseconds from 0 to 300000/],
  [odd({ ranges: () => [] }), 'ranges', /at least one where it can be read/],
])('a format of one’s own whose parts are none is refused: %o', (format, part, rule) => {
  const error = errorOf(() => createRegistry({ format: format as never }))
  expect(error).toMatchObject({ code: 'ERR_INVALID_OPTION', message: expect.stringMatching(rule) })
  expect(error.message).toContain(`Option "format" must be one whose ${part}`)
})

test('a format that throws what has no text, or at a weight, is refused as it registers', () => {
  const registry = (format: object) => createRegistry({ format: format as never, logger: false })
  const speechless = () => {
    throw Object.create(null)
  }
  const register = (format: object) => () =>
    registry(format).register({ name: 'orders', port: 8000, weight: 5 })
  expect(register(odd({ encode: speechless }))).toThrow(/encode\(\) of "odd" did: object/)
  expect(register(capable({ weight: speechless }))).toThrow(/capabilities\.weight\(\) of "odd" did: object/)
})

test.each<[string, () => unknown, RegExp]>([
  ['throws', failing.encode, /defaults\.id\(\) of "odd" did: Error: boom/],
  ['gives a slash', () => 'a/b', /whose ids are .* but one of "odd" is not/],
  ['gives nothing', () => undefined, /whose ids are .* but one of "odd" is not/],
])('a format whose default id %s is refused as it registers, unless there is an id', (_, id, rule) => {
  const format = { ...jsonFormat(), name: 'odd', defaults: { id: id as () => string } }
  const registry = createRegistry({ format, logger: false })
  expect(() => registry.register({ name: 'orders', port: 8000 })).toThrow(rule)
})

test('a format whose prefixes lack their slash for some names only is refused as those are discovered', () => {
  const ranges = (name: string) => [{ prefix: name === 'web' ? '/services/web' : `/services/${name}/` }]
  const registry = createRegistry({ format: { ...jsonFormat(), ranges }, logger: false })
  expect(() => registry.discover('web')).toThrow(/that ends in "\/"/)
})

/** What a careless caller of JavaScript may pass. */
const resolve = (options: object, env: NodeJS.ProcessEnv = {}) => resolveOptions(options, env)
const pairs = (size: number) => Object.fromEntries(Array.from({ length: size }, (_, i) => [`k${i}`, 'v']))
const service = (more: object = {}) => resolveService({ name: 'orders', port: 8000, ...more })

function errorOf(run: () => unknown): EtcdRegisterError {
  try {
    run()
  } catch (error) {
    return error as EtcdRegisterError
  }
  throw new Error('It did not throw.')
}

/** The error names the option, its rule and the value. */
function expectRefused(run: () => unknown, option: string, rule: RegExp, value: string) {
  const { code, message, retryable } = errorOf(run)
  expect({ code, retryable }).toEqual({ code: 'ERR_INVALID_OPTION', retryable: false })
  expect(message).toMatch(rule)
  expect(message.startsWith(`Option "${option}" must be `), message).toBe(true)
  expect(message.endsWith(`; got ${value}.`), message).toBe(true)
}

let folder: string
let authority: CertificateAuthority
let cert: string
let key: string
let keyFile: string

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), 'options-'))
  authority = await createCertificateAuthority()
  ;({ cert, key } = await authority.issue())
  keyFile = join(folder, 'client.key')
  writeFileSync(keyFile, key)
})

afterAll(() => rmSync(folder, { recursive: true }))

describe('an option that breaks its rule is refused with its name, the rule and the value', () => {
  test.each<[unknown, string]>([
    [0, '0'],
    [1, '1'],
    [1.5, '1.5'],
    [Number.NaN, 'NaN'],
    [86_401, '86401'],
    ['x', '"x"'],
    [true, 'true'],
  ])('ttl: %s', (ttl, shown) => {
    expectRefused(() => resolve({ ttl }), 'ttl', /a whole number of seconds from 2 to 86400/, shown)
  })

  test.each([0, -1, 1.5, '3000', Number.POSITIVE_INFINITY])('requestTimeout: %s', requestTimeout => {
    const shown = typeof requestTimeout === 'string' ? `"${requestTimeout}"` : String(requestTimeout)
    expectRefused(() => resolve({ requestTimeout }), 'requestTimeout', /whole number of milliseconds/, shown)
  })

  test.each<[unknown, string]>([
    [[], '[]'],
    ['', '""'],
    [[''], '""'],
    [' , ', '" , "'],
    [[1], '"number"'],
    [{}, 'object'],
    ['ftp://a:1', '"ftp://a:1"'],
    ['http://', '"http://"'],
    ['http://a:0', '"http://a:0"'],
    ['http://a:70000', '"http://a:70000"'],
    ['http://a b:1', '"http://a b:1"'],
    ['http://a;b', '"http://a;b"'],
    ['::1', '"::1"'],
    ['[127.0.0.1]:1', '"[127.0.0.1]:1"'],
    ['http://300.1.1.1:2379', '"http://300.1.1.1:2379"'],
    ['localhost:port', '"localhost:***"'],
  ])('hosts: %j', (hosts, shown) => {
    expectRefused(() => resolve({ hosts }), 'hosts', /etcd client URLs, such as "http/, shown)
  })

  test.each([
    ['HTTP://a:1/v3', 'http://a:1', '"HTTP://a:1/v3"'],
    ['a/etcd/', 'http://a:2379', '"a/etcd/"'],
    ['https://a?token=s3cret', 'https://a:2379', '"https://a?..."'],
    ['https://a:1/#x', 'https://a:1', '"https://a:1/?..."'],
  ])('hosts: %s has a path or a query, and the message says what to write', (hosts, write, shown) => {
    const rule = new RegExp(`without a path or a query, .*: "${write}"`)
    expectRefused(() => resolve({ hosts }), 'hosts', rule, shown)
  })

  test.each([
    [['srv+https://a.test', 'b:1'], /one "srv\+https:\/\/example\.org" alone/],
    ['srv+https://10.0.0.1', /a domain after srv\+https/],
    ['srv+http://a.test', /srv\+https:\/\/ where the option "tls" is given/],
  ])('hosts: %j', (hosts, rule) => {
    expect(() => resolve({ hosts, tls: {} })).toThrow(rule)
  })

  test('hosts: some with http, some with https', () => {
    const hosts = ['http://a:1', 'https://b:1']
    expectRefused(
      () => resolve({ hosts }),
      'hosts',
      /all http:\/\/ or all https/,
      `["${hosts.join('", "')}"]`,
    )
    expectRefused(() => resolve({ hosts: 'https://a:1,b:1' }), 'hosts', /all http/, '["https://a:1", "b:1"]')
  })

  test('hosts: http:// although there is TLS', () => {
    const run = () => resolve({ hosts: 'http://a:1', tls: {} })
    expectRefused(run, 'hosts', /https:\/\/ where the option "tls" is given/, '["http://a:1"]')
  })

  test('hosts: of the environment, whose variable the message names', () => {
    const option = 'hosts (from ETCD_ENDPOINTS)'
    expectRefused(() => resolve({}, { ETCD_ENDPOINTS: 'a b' }), option, /URLs/, '"a b"')
  })

  test.each<[object, string, RegExp, string]>([
    [{ namespace: '/a//b' }, 'namespace', /empty parts/, '"/a//b"'],
    [{ namespace: '/a\n' }, 'namespace', /control characters/, '"/a\\u000a"'],
    [{ namespace: '/\0' }, 'namespace', /control characters/, '"/\\u0000"'],
    [{ namespace: '/a\u001f' }, 'namespace', /control characters/, '"/a\\u001f"'],
    [{ namespace: '/a\u007f' }, 'namespace', /control characters/, '"/a\\u007f"'],
    [{ namespace: 7 }, 'namespace', /a string/, '7'],
    [{ format: 'xml' }, 'format', /one of json, plain/, '"xml"'],
    [{ format: [] }, 'format', /one of json, plain/, '[]'],
    [{ format: ['json', 'json'] }, 'format', /share "\/services\/orders\/"/, '["json", "json"]'],
    [{ format: ['plain', plainFormat()] }, 'format', /share "\/services\/orders\/"/, '["plain", "plain"]'],
    [
      { format: ['kratos', plainFormat({ namespace: '/microservices', singleKey: true })] },
      ...(['format', /"kratos" and "plain" share/, '["kratos", "plain"]'] as const),
    ],
    [
      { format: ['json', plainFormat({ singleKey: true })] },
      ...(['format', /"json" and "plain" share "\/services\/orders\/"/, '["json", "plain"]'] as const),
    ],
    [
      { format: [plainFormat({ namespace: '/microservices', singleKey: true }), 'kratos'] },
      ...(['format', /"plain" and "kratos" share/, '["plain", "kratos"]'] as const),
    ],
    [{ format: ['json', 'plain'] }, 'format', /"json" and "plain" share/, '["json", "plain"]'],
    [{ format: ['skydns', 'skydns'] }, 'format', /share "\/skydns\/local\//, '["skydns", "skydns"]'],
    [{ format: { ...jsonFormat(), name: 7 } }, 'format', /a "name"/, 'object'],
    [{ format: { ...jsonFormat(), ranges: () => undefined } }, 'format', /each a \{ key \}/, 'undefined'],
    ...['encode', 'ranges', 'decode', 'root', 'serviceOf'].map((method): [object, string, RegExp, string] => [
      { format: { ...jsonFormat(), [method]: undefined } },
      ...(['format', /an InstanceFormat/, 'object'] as const),
    ]),
    [{ format: { name: 'half', encode() {} } }, 'format', /an InstanceFormat/, 'object'],
    [
      { format: { ...jsonFormat(), capabilities: null } },
      'format',
      /whose capabilities is an object of read/,
      'null',
    ],
    [
      { format: { ...jsonFormat(), ranges: () => [{ prefix: '/services/orders' }] } },
      ...(['format', /that ends in "\/"/, '"[{\\"prefix\\":\\"/services/orders\\"}]"'] as const),
    ],
    [
      { format: { ...jsonFormat(), root: () => '/services' } },
      ...(['format', /whose root ends in "\/"/, '"/services"'] as const),
    ],
    [
      { format: { ...jsonFormat(), root: failing.encode } },
      ...(['format', /root\(\) of "json" did/, '"json"'] as const),
    ],
    [{ format: ['json', failing] }, 'format', /encode\(\) of "failing" did: Error: boom/, '"failing"'],
    [{ format: 'toString' }, 'format', /one of json, plain/, '"toString"'],
    [{ logger: { debug() {}, info() {}, error() {} } }, 'logger', /debug, info, warn and error/, 'object'],
    [{ logger: true }, 'logger', /or false/, 'true'],
    [{ auth: {} }, 'auth.username', /not empty/, 'undefined'],
    [{ auth: { username: '', password: 'p' } }, 'auth.username', /not empty/, '""'],
    [{ auth: { username: 'u' } }, 'auth.password', /a string/, 'undefined'],
    [{ auth: null }, 'auth', /an object \{ username, password \}/, 'null'],
    [{ auth: 'orders' }, 'auth', /or a function that gives one/, '"string"'],
    [{ tls: true }, 'tls', /an object with ca, cert, key and serverName/, 'true'],
    [{ tls: { ca: 7 } }, 'tls.ca', /PEM text of a certificate, or the path/, '"number"'],
    [{ tls: ['a.pem'] }, 'tls', /an object with ca, cert, key/, '"array"'],
    [{ tls: { ca: '/no/such/ca.pem' } }, 'tls.ca', /readable PEM file/, '"/no/such/ca.pem"'],
    [{ tls: { ca: '/' } }, 'tls.ca', /readable PEM file/, '"/"'],
    [{ tls: { ca: Buffer.from('x') } }, 'tls.ca', /PEM/, '"a Buffer without \\"-----BEGIN\\""'],
    [{ tls: { ca: '-----BEGIN CERTIFICATE-----\nx' } }, 'tls.ca', /PEM/, '"PEM text that is damaged"'],
  ])('%o', (options, option, rule, shown) => {
    expectRefused(() => resolve(options), option, rule, shown)
  })

  test('options: no object', () => {
    expectRefused(() => createRegistry(null as never), 'options', /an object/, 'null')
    expectRefused(() => createRegistry('http://a' as never), 'options', /an object/, '"string"')
  })

  test('tls: a certificate without its key, a key without its certificate, the key of another one', async () => {
    const { key: other } = await authority.issue()
    const damaged = '"PEM text that is damaged"'
    expectRefused(
      () => resolve({ tls: { cert, key: cert } }),
      'tls.key',
      /PEM text of a private key/,
      damaged,
    )
    expectRefused(() => resolve({ tls: { cert } }), 'tls.key', /given together with tls.cert/, 'undefined')
    expectRefused(() => resolve({ tls: { key } }), 'tls.cert', /given together with tls.key/, 'undefined')
    const run = () => resolve({ tls: { cert, key: other } })
    expectRefused(run, 'tls.key', /the key of the certificate in tls.cert/, '"the key of another one"')
  })

  test.each<[object, string, RegExp, string]>([
    [{ port: 70_000 }, 'port', /a whole number from 1 to 65535/, '70000'],
    [{ port: 0 }, 'port', /from 1/, '0'],
    [{ port: -1 }, 'port', /from 1/, '-1'],
    [{ port: '8000' }, 'port', /a whole number/, '"8000"'],
    [{ port: undefined }, 'port', /a whole number/, 'undefined'],
    [{ name: 'a/b' }, 'name', /1 to 253 of \[A-Za-z0-9._-]/, '"a/b"'],
    [{ name: '' }, 'name', /1 to 253/, '""'],
    [{ name: '.a' }, 'name', /the first a letter or a digit/, '".a"'],
    [{ name: 'a\n' }, 'name', /1 to 253/, '"a\\u000a"'],
    [{ name: 'x'.repeat(254) }, 'name', /1 to 253/, `"${'x'.repeat(77)}..."`],
    [{ name: undefined }, 'name', /1 to 253/, 'undefined'],
    [{ id: 'a/b' }, 'id', /without "\/" and control/, '"a/b"'],
    [{ id: '' }, 'id', /1 to 300 characters/, '""'],
    [{ id: 'a\u0007' }, 'id', /control or format characters/, '"a\\u0007"'],
    [{ host: '[::1]' }, 'host', /an IP address without brackets/, '"[::1]"'],
    [{ host: '10.0.0.5:8000' }, 'host', /an IP address without/, '"10.0.0.5:8000"'],
    [{ host: 'http://a' }, 'host', /a host name/, '"http://a"'],
    [{ host: 'fe80::1%eth0' }, 'host', /a host name/, '"fe80::1%eth0"'],
    [{ host: '0.0.0.0' }, 'host', /that others can reach/, '"0.0.0.0"'],
    [{ host: '::' }, 'host', /that others can reach/, '"::"'],
    [{ host: '' }, 'host', /an IP address/, '""'],
    [{ protocol: 'HTTP' }, 'protocol', /such as "http"/, '"HTTP"'],
    [{ protocol: 'http://' }, 'protocol', /such as "http"/, '"http://"'],
    [{ version: 1 }, 'version', /256 characters/, '1'],
    [{ zone: 1 }, 'zone', /256 characters/, '1'],
    [{ version: 'v1\n' }, 'version', /without control/, '"v1\\u000a"'],
    [{ zone: 'eu\u202e' }, 'zone', /without control/, '"eu\\u202e"'],
    [{ zone: 'x'.repeat(257) }, 'zone', /256 characters/, `"${'x'.repeat(77)}..."`],
    [{ protocol: 'javascript' }, 'protocol', /URL scheme/, '"javascript"'],
    [{ advertise: ['file://10.0.0.5:80'] }, 'advertise', /URLs such as/, '["file://10.0.0.5:80"]'],
    [{ host: '::ffff:0.0.0.0' }, 'host', /others can reach/, '"::ffff:0.0.0.0"'],
    [{ host: 'xn--a' }, 'host', /a host name/, '"xn--a"'],
    [{ metadata: pairs(257) }, 'metadata', /up to 256 pairs/, '257'],
    [{ metadata: { ['k'.repeat(257)]: 'v' } }, 'metadata', /256 characters/, `"${'k'.repeat(77)}..."`],
    [{ metadata: { 'a\u001b': 'v' } }, 'metadata', /without control/, '"a\\u001b"'],
    [{ metadata: { note: 'x'.repeat(16_385) } }, 'metadata.note', /16384/, `"${'x'.repeat(77)}..."`],
    [{ metadata: { note: '\u0000' } }, 'metadata.note', /without control/, '"\\u0000"'],
    [{ weight: 1001 }, 'weight', /a whole number from 0 to 1000/, '1001'],
    [{ weight: -1 }, 'weight', /from 0/, '-1'],
    [{ weight: 0.5 }, 'weight', /a whole number/, '0.5'],
    [{ weight: '10' }, 'weight', /a whole number/, '"10"'],
    ...[
      ['grpc://:9000', 7],
      ['10.0.0.5:9000'],
      ['grpc://:0'],
      ['grpc://a:1/path'],
      ['grpc://0.0.0.0:1'],
      ['grpc:// :1'],
      ['grpc://:1', 'a:1'],
      Array<string>(32).fill('grpc://:1'),
    ].map((advertise): [object, string, RegExp, string] => [
      { advertise },
      'advertise',
      /up to 31 URLs/,
      `[${advertise.map(endpoint => JSON.stringify(endpoint)).join(', ')}]`,
    ]),
    [{ advertise: 'grpc://:1' }, 'advertise', /up to 31 URLs/, '"grpc://:1"'],
    [{ metadata: 'a=b' }, 'metadata', /an object of strings/, '"a=b"'],
    [{ metadata: ['a'] }, 'metadata', /an object of strings/, '["a"]'],
    [{ metadata: { since: 7 } }, 'metadata.since', /16384 characters/, '"number"'],
  ])('of a service: %o', (more, option, rule, shown) => {
    expectRefused(() => service(more), option, rule, shown)
  })

  test('of an update: what is fixed, and what breaks its rule', () => {
    const { version, zone, weight, metadata } = service()
    const before = { version, zone, weight, metadata }
    const patch = (more: object) => () => resolvePatch(before, more)
    expect(patch({ port: 9 })).toThrow(
      'Option "port" must be one of version, zone, weight, metadata in an update; the rest is fixed.',
    )
    expect(patch({ wieght: 9 })).toThrow('Unknown option "wieght"; did you mean "weight"?')
    expectRefused(patch({ version: 1.2 }), 'version', /text of up to 256/, '1.2')
    expectRefused(patch({ weight: 2000 }), 'weight', /from 0 to 1000/, '2000')
    expect(resolvePatch(before, { weight: undefined as never, zone: 'b' })).toEqual({ ...before, zone: 'b' })
  })
})

describe('no message shows a secret', () => {
  test.each<[string, () => unknown]>([
    ['a password in a URL', () => resolve({ hosts: 'http://root:s3cret@etcd:2379' })],
    ['a password in a URL without a scheme', () => resolve({ hosts: 'root:s3cret@etcd:2379' })],
    ['a password that is no string', () => resolve({ auth: { username: 'u', password: ['s3cret'] } })],
    ['a login as one string', () => resolve({ auth: 'root:s3cret' })],
    ['ETCDCTL_USER without a colon', () => resolve({}, { ETCDCTL_USER: 's3cret' })],
    ['ETCDCTL_USER without a name', () => resolve({}, { ETCDCTL_USER: ':s3cret' })],
    ['a key that is no PEM', () => resolve({ tls: { cert, key: `s3cret${'x'.repeat(40)}` } })],
    ['an unknown option', () => createRegistry({ password: 's3cret' } as never)],
    ['an unknown option of a service', () => service({ token: 's3cret' })],
    ['an unknown option of an update', () => resolvePatch(service(), { password: 's3cret' } as never)],
    ['a string as the options', () => createRegistry('root:s3cret' as never)],
    ['a password with a comma', () => resolve({ hosts: 'http://root:s3cret,pa@etcd:2379' })],
    ['a password with a comma, after it', () => resolve({ hosts: 'http://root:pa,s3cret@etcd:2379' })],
    ['such a list that was split', () => resolve({ hosts: 'http://root:s3cret,pa@etcd'.split(',') })],
    ['a password with a line break', () => resolve({ hosts: 'http://root:s3cret\npa@etcd:2379' })],
    ['a password with a line break before it', () => resolve({ hosts: 'http://root:pa\ns3cret@etcd:2379' })],
    ['a password with @ and /', () => resolve({ hosts: 'http://root:s3cret@/s3cret@etcd:2379' })],
    ['a password that ends in a name', () => resolve({ hosts: 'http://root:pa@s3cret' })],
    ['a URL in the quotes of a file', () => resolve({ hosts: '"http://root:s3cret"' })],
    ['a user that is encoded', () => resolve({ hosts: 'http://root%3As3cret%40etcd:2379' })],
    ['a scheme without its colon', () => resolve({ hosts: 'http//root:s3cret' })],
    ['a password beside an IPv6 address', () => resolve({ hosts: 'http://[::1]:s3cret' })],
    ['a password and no host', () => resolve({ hosts: 'http://root:s3cret@' })],
    ['a password and neither a host nor @', () => resolve({ hosts: 'http://root:s3cret' })],
    ['a password in the domain of SRV', () => resolve({ hosts: 'srv+https://root:s3cret@a.test' })],
    ['a query with a line break', () => resolve({ hosts: 'https://a?x\ntoken=s3cret' })],
    ['ETCD_ENDPOINTS with a password', () => resolve({}, { ETCD_ENDPOINTS: 'http://root:s3cret@etcd:1' })],
    ['ETCDCTL_DISCOVERY_SRV', () => resolve({}, { ETCDCTL_DISCOVERY_SRV: 'root:s3cret@a.test' })],
    ['a token as the user', () => resolve({ hosts: 's3cret@etcd' })],
    ['a token as the user, and one in the query', () => resolve({ hosts: 'a@etcd?token=s3cret' })],
    ['ETCDCTL_USER as the endpoint', () => resolve({}, { ETCD_ENDPOINTS: 'root:s3cret' })],
    ['a login in a list that is nested', () => resolve({ hosts: [['root:s3cret']] })],
    ['a login beside SRV', () => resolve({ hosts: ['srv+https://a.test', 'root:s3cret'] })],
    ['a password in place of a port, after a space', () => resolve({ hosts: 'http://a b:s3cret' })],
    ['a password without a user or a host', () => resolve({ hosts: 'http://:s3cret' })],
    ['a login as the user name of a list', () => resolve({ auth: { username: ['s3cret'] } })],
    ['a login as a list', () => resolve({ auth: ['root', 's3cret'] })],
    ['a password that is a number', () => resolve({ auth: { username: 's3cret', password: 12345 } })],
    ['a URL as the host of a service', () => service({ host: 'http://root:s3cret@db' })],
    ['a URL as an endpoint', () => service({ advertise: ['http://root:s3cret@db:1'] })],
    ['metadata that is no string', () => service({ metadata: { token: ['s3cret'] } })],
    ['tls as a string', () => resolve({ tls: 's3cret' })],
    ['tls as a list', () => resolve({ tls: ['s3cret'] })],
    ['a certificate in a list', () => resolve({ tls: { ca: ['s3cret'] } })],
    ['a key without its header, as the key', () => resolve({ tls: { cert, key: 'MIIs3cret/AA+x=' } })],
    ['a key without its header, as the authority', () => resolve({ tls: { ca: 'MIIs3cret/AA+x=' } })],
    ['a key without its header, in lines', () => resolve({ tls: { ca: '/MIIs3cret\nAA.pem' } })],
    ['a key without its header, in ETCD_CERT', () => resolve({}, { ETCD_CERT: 'MIIs3cret', ETCD_KEY: 'x' })],
    ['a damaged key', () => resolve({ tls: { cert, key: '-----BEGIN PRIVATE KEY-----\ns3cret' } })],
    ['a key as a buffer', () => resolve({ tls: { cert, key: Buffer.from('s3cret') } })],
  ])('%s', (_, run) => {
    const error = errorOf(run)
    expect(error.code).toBe('ERR_INVALID_OPTION')
    for (let link: unknown = error; link !== undefined; link = (link as Error).cause) {
      expect(
        Object.getOwnPropertyNames(link).map(name => String(Reflect.get(link as object, name))),
      ).not.toContain(expect.stringContaining('s3cret'))
      expect(String((link as Error).stack)).not.toContain('s3cret')
    }
  })

  test('but the path of a key that cannot be read is shown, with the reason as cause', () => {
    const error = errorOf(() => resolve({ tls: { cert, key: '/no/such/client.key' } }))
    expect(error.message).toContain('"/no/such/client.key"')
    expect(error.cause).toMatchObject({ code: 'ENOENT' })
  })
})

describe('where etcd is', () => {
  test.each<[string, RegistryOptions, NodeJS.ProcessEnv, string, string | undefined]>([
    ['the option', { hosts: 'srv+https://a.test' }, {}, '_etcd-client-ssl._tcp.a.test', 'a.test'],
    ['capitals', { hosts: 'SRV+HTTP://a.test/' }, {}, '_etcd-client._tcp.a.test', undefined],
    [
      'a server name',
      { hosts: ['srv+https://a.test'], tls: { serverName: 'b.test' } },
      {},
      '_etcd-client-ssl._tcp.a.test',
      'b.test',
    ],
    ['the environment', {}, { ETCDCTL_DISCOVERY_SRV: 'a.test' }, '_etcd-client._tcp.a.test', undefined],
    [
      'the environment, with TLS and a name',
      { tls: {} },
      { ETCDCTL_DISCOVERY_SRV: 'a.test.', ETCDCTL_DISCOVERY_SRV_NAME: 'blue' },
      '_etcd-client-ssl-blue._tcp.a.test.',
      'a.test',
    ],
  ])('DNS SRV records, by %s', (_, options, env, name, serverName) => {
    const { hosts, srv, tls } = resolve(options, env)
    expect({ hosts, name: srv?.name, serverName: tls.serverName }).toEqual({ hosts: [], name, serverName })
    expect(resolve(options, { ...env, ETCD_ENDPOINTS: 'b:1' }).srv === undefined).toBe(
      options.hosts === undefined,
    )
  })

  test.each<[string | string[], string[], boolean]>([
    ['localhost:2379', ['localhost:2379'], false],
    ['127.0.0.1', ['127.0.0.1:2379'], false],
    ['http://etcd', ['etcd:2379'], false],
    ['[::1]:2379', ['[::1]:2379'], false],
    ['http://[::1]', ['[::1]:2379'], false],
    ['http://localhost:2379/', ['localhost:2379'], false],
    ['HTTP://localhost:2379//', ['localhost:2379'], false],
    ['HttpS://localhost', ['localhost:2379'], true],
    ['https://etcd.example.org:443', ['etcd.example.org:443'], true],
    ['http://a:1, http://b:2 ,c:3', ['a:1', 'b:2', 'c:3'], false],
    [['http://a:1', ' b:2 '], ['a:1', 'b:2'], false],
    [['http://a:1', 'a:1', 'http://a:1/'], ['a:1'], false],
  ])('hosts %j', (hosts, expected, secure) => {
    expect(resolve({ hosts })).toMatchObject({ hosts: expected, secure })
  })

  test('no option and no environment: this machine', () => {
    expect(resolve({})).toMatchObject({ hosts: ['127.0.0.1:2379'], secure: false, auth: undefined })
  })

  test('an option goes before ETCD_ENDPOINTS, and that before ETCDCTL_ENDPOINTS', () => {
    const env = { ETCD_ENDPOINTS: 'https://a:1,https://b:2', ETCDCTL_ENDPOINTS: 'c:3' }
    expect(resolve({ hosts: 'd:4' }, env).hosts).toEqual(['d:4'])
    expect(resolve({}, env)).toMatchObject({ hosts: ['a:1', 'b:2'], secure: true })
    expect(resolve({}, { ...env, ETCD_ENDPOINTS: undefined }).hosts).toEqual(['c:3'])
  })

  test('with certificates a host without a scheme is reached over TLS', () => {
    expect(resolve({ hosts: 'etcd:2379', tls: {} }).secure).toBe(true)
    expect(resolve({ hosts: 'etcd:2379' }, { ETCD_CACERT: authority.ca }).secure).toBe(true)
  })

  test('an empty variable counts as not set', () => {
    const names = ['ENDPOINTS', 'USERNAME', 'PASSWORD', 'CACERT', 'CERT', 'KEY'].map(name => `ETCD_${name}`)
    const env = Object.fromEntries([...names, 'ETCDCTL_ENDPOINTS', 'ETCDCTL_USER'].map(name => [name, '']))
    expect(resolve({}, env)).toEqual(resolve({}))
    expect(resolve({}, { ...env, ETCDCTL_ENDPOINTS: 'a:1' }).hosts).toEqual(['a:1'])
  })
})

describe('who we are', () => {
  test('an option goes before ETCD_USERNAME and ETCD_PASSWORD, and those before ETCDCTL_USER', () => {
    const env = { ETCD_USERNAME: 'a', ETCD_PASSWORD: 'pa', ETCDCTL_USER: 'b:p:b' }
    const login = (options: object, variables: NodeJS.ProcessEnv) => {
      const auth = resolve(options, variables).auth
      return typeof auth === 'object' ? [auth.username, auth.password] : auth
    }
    expect(login({ auth: { username: 'c', password: 'pc' } }, env)).toEqual(['c', 'pc'])
    expect(login({}, env)).toEqual(['a', 'pa'])
    expect(login({}, { ETCDCTL_USER: 'b:p:b' })).toEqual(['b', 'p:b'])
    expect(login({}, { ETCD_PASSWORD: 'alone' })).toBeUndefined()
  })

  test('certificates are PEM text, buffers or paths, of options first and of the environment else', () => {
    const env = {
      ETCD_ENDPOINTS: 'https://a:1',
      ETCD_CACERT: authority.ca,
      ETCD_CERT: cert,
      ETCD_KEY: keyFile,
    }
    const { tls } = resolve({}, env)
    expect([tls.ca, tls.cert, tls.key].map(String)).toEqual([authority.ca, cert, key])
    expect(String(resolve({ tls: { ca: Buffer.from(cert) } }, env).tls.ca)).toBe(cert)
    expect(resolve({ hosts: 'https://a:1' }).tls.ca).toBeUndefined()
  })
})

test.each([
  ['/services', '/services'],
  ['/services/', '/services'],
  ['services', 'services'],
  ['/a/b/', '/a/b'],
  ['/', ''],
  ['', ''],
])('the namespace %j is %j', (namespace, expected) => {
  expect(resolve({ namespace }).formats[0]!.namespace).toBe(expected)
})

test('the namespace of a format: its own, else the one that was given, else what its registry has', () => {
  const placed = (options: RegistryOptions) => resolve(options).formats.map(({ namespace }) => namespace)
  const format: RegistryOptions['format'] = ['json', 'kratos', goZeroFormat({ namespace: 'zero/' }), 'skydns']
  expect(placed({ format })).toEqual(['/services', '/microservices', 'zero', '/skydns'])
  expect(placed({ format: 'kratos', namespace: '/prod' })).toEqual(['/prod'])
  expect(placed({ format: 'kratos', namespace: '' })).toEqual([''])
  expect(placed({ format: kratosFormat({ namespace: '/a' }), namespace: '/b' })).toEqual(['/a'])
  // Kratos and Kitex put a slash after whatever they were given.
  expect(placed({ format: ['json', 'kratos'], namespace: '/a/' })).toEqual(['/a', '/a/'])
  expect(placed({ format: ['json', 'kitex'], namespace: '/a/' })).toEqual(['/a', '/a/'])
  expect(placed({ format: 'kratos', namespace: '/' })).toEqual([''])
  expect(placed({ format: [kratosFormat({ namespace: '/b/' }), jsonFormat({ namespace: '/c/' })] })).toEqual([
    '/b/',
    '/c',
  ])
  expect(placed({ format: ['skydns', 'traefik'], namespace: '/prod' })).toEqual(['/skydns', 'traefik'])
  const apart = ['json' as const, jsonFormat({ namespace: '/next' }), plainFormat({ namespace: '/old' })]
  expect(placed({ format: apart, namespace: '/now' })).toEqual(['/now', '/next', '/old'])
})

test.each<[() => unknown, string, RegExp, string]>([
  ...[
    ...[jsonFormat, plainFormat, kratosFormat, goZeroFormat, kitexFormat],
    ...[goMicroFormat, grpcFormat, skydnsFormat, traefikFormat],
  ].flatMap((factory): [() => unknown, string, RegExp, string][] => [
    [() => factory(null as never), `options of ${factory.name}`, /an object/, 'null'],
    [() => factory({ namespace: 7 } as never), 'namespace', /a string/, '7'],
  ]),
  [() => plainFormat({ singleKey: 'yes' as never }), 'singleKey', /true or false/, '"yes"'],
  [() => grpcFormat({ metadata: 1 as never }), 'metadata', /true or false/, '1'],
  [() => skydnsFormat({ domain: ['a'] as never }), 'domain', /a zone/, '["a"]'],
  [() => kratosFormat({ namespace: '/a//b' }), 'namespace', /without control characters/, '"/a//b"'],
  [() => goZeroFormat({ protocol: 'GRPC' }), 'protocol', /a URL scheme/, '"GRPC"'],
  [() => kitexFormat({ protocol: '' }), 'protocol', /a URL scheme/, '""'],
  [() => grpcFormat({ protocol: 'a b' }), 'protocol', /a URL scheme/, '"a b"'],
  [() => skydnsFormat({ domain: 'a..b' }), 'domain', /a zone/, '"a..b"'],
  [() => skydnsFormat({ domain: 'a'.repeat(64) }), 'domain', /a zone/, `"${'a'.repeat(64)}"`],
  [
    () => skydnsFormat({ domain: `${'a.'.repeat(16)}a` }),
    'domain',
    /a zone/,
    '"a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a.a"',
  ],
  [() => skydnsFormat({ ttl: 0 }), 'ttl', /from 1 to 86400/, '0'],
  [() => skydnsFormat({ ttl: 1.5 }), 'ttl', /a whole number/, '1.5'],
  [() => skydnsFormat({ priority: 65_536 }), 'priority', /from 1 to 65535/, '65536'],
  [() => skydnsFormat({ group: 7 as never }), 'group', /a string/, '7'],
  [() => skydnsFormat({ namespace: '/dns/prod' }), 'namespace', /one segment/, '"/dns/prod"'],
  [() => skydnsFormat({ namespace: '/' }), 'namespace', /one segment/, '"/"'],
  [() => skydnsFormat({ namespace: '' }), 'namespace', /one segment/, '""'],
  [() => traefikFormat({ namespace: '/traefik' }), 'namespace', /without a slash/, '"/traefik"'],
  [() => traefikFormat({ weight: 1 as never }), 'weight', /true or false/, '1'],
  [() => skydnsFormat({ mail: 'yes' as never }), 'mail', /true or false/, '"yes"'],
  [() => skydnsFormat({ targetstrip: -1 }), 'targetstrip', /from 0 to 126/, '-1'],
  [() => kitexFormat({ defaultWeight: 0 }), 'defaultWeight', /from 1 to/, '0'],
])('an option of a format that breaks its rule is refused: %s', (run, option, rule, shown) => {
  expectRefused(run, option, rule, shown)
})

test.each(['Cart', '123'])('Traefik would take the name %s for another one, so it is refused', name => {
  const registry = createRegistry({ format: 'traefik', hosts: '127.0.0.1:1', logger: false })
  const rule = /in lower case and not of digits alone/
  expectRefused(() => registry.register({ name, host: '10.0.0.5', port: 8000 }), 'name', rule, `"${name}"`)
})

test('an option of a format may be as large as its rule says', () => {
  const domain = `${'a'.repeat(63)}${'.a'.repeat(15)}`
  expect(skydnsFormat({ ttl: 86_400, priority: 65_535, domain })).toMatchObject({ name: 'skydns' })
})

test('an option that is undefined counts as not given', () => {
  const names = ['hosts', 'auth', 'tls', 'namespace', 'ttl', 'format', 'requestTimeout', 'logger']
  const absent = Object.fromEntries(names.map(name => [name, undefined]))
  expect(resolve(absent)).toEqual(resolve({}))
  expect(resolve(absent)).toMatchObject({ ttl: 10, requestTimeout: 3000 })
  expect(resolve(absent).formats).toMatchObject([{ format: { name: 'json' }, namespace: '/services' }])
  const fields = ['host', 'id', 'protocol', 'advertise', 'version', 'zone', 'weight', 'metadata']
  expect(service(Object.fromEntries(fields.map(name => [name, undefined])))).toEqual(service())
  expect(service()).toEqual({
    name: 'orders',
    port: 8000,
    host: undefined,
    id: undefined,
    protocol: 'http',
    protocolGiven: false,
    advertise: [],
    version: '',
    zone: '',
    weight: 100,
    metadata: {},
  })
})

test('metadata of a caller is copied, and has no prototype', () => {
  const metadata = { a: 'b' }
  const resolved = service({ metadata })
  metadata.a = 'c'
  expect(resolved.metadata).toEqual({ a: 'b' })
  expect(Object.getPrototypeOf(resolved.metadata)).toBeNull()
})

test('a logger of false is silent, and none warns on the console', () => {
  const { logger } = resolve({})
  const lines: unknown[] = []
  const { warn, error, log, info, debug } = console
  const keep = (line: unknown) => lines.push(line)
  Object.assign(console, { warn: keep, error: keep, log: keep, info: keep, debug: keep })
  try {
    const silent = resolve({ logger: false }).logger
    for (const level of ['debug', 'info', 'warn', 'error'] as const) {
      logger[level]({}, level)
      silent[level]({}, 'never')
    }
    logger.warn({ err: new Error('because') }, 'it failed')
  } finally {
    Object.assign(console, { warn, error, log, info, debug })
  }
  expect(lines).toEqual(['warn', 'error', 'it failed: because'].map(text => `[etcd-register] ${text}`))
})

test('a logger that throws stops nothing', () => {
  const fail = () => {
    throw new Error('the disk is full')
  }
  const { logger } = resolveOptions({ logger: { debug: fail, info: fail, warn: fail, error: fail } }, {})
  for (const level of ['debug', 'info', 'warn', 'error'] as const) {
    expect(() => logger[level]({}, 'a line')).not.toThrow()
  }
})

test.each<[string, () => unknown, string | RegExp]>([
  ['near one', () => resolve({ hots: 'a' }), 'Unknown option "hots"; did you mean "hosts"?'],
  [
    'near one',
    () => resolve({ requesttimeout: 5 }),
    'Unknown option "requesttimeout"; did you mean "requestTimeout"?',
  ],
  ['near one', () => service({ wieght: 5 }), 'Unknown option "wieght"; did you mean "weight"?'],
  [
    'near one',
    () => resolve({ tls: { sevrername: 'a' } }),
    'Unknown option "sevrername"; did you mean "serverName"?',
  ],
  [
    'of a format',
    () => jsonFormat({ root: '/a' } as never),
    'Unknown option "root": the options of jsonFormat are namespace.',
  ],
  [
    'far from all',
    () => resolve({ x: 1 }),
    /^Unknown option "x": the options are hosts, auth, tls.*logger\.$/,
  ],
  ['long', () => resolve({ ['x'.repeat(100_000)]: 1 }), /^Unknown option "x{200}\.\.\.": the options are/],
  [
    'endpoints of etcd',
    () => resolve({ endpoints: ['http://etcd:2379'] }),
    'Unknown option "endpoints". The addresses of etcd are "hosts".',
  ],
  [
    'endpoints of either',
    () => service({ endpoints: ['grpc://:9000'] }),
    'Unknown option "endpoints". The addresses of etcd are "hosts"; further addresses of this service are "advertise".',
  ],
  [
    'etcd of a service',
    () => service({ hosts: 'http://etcd:2379' }),
    'Unknown option "hosts". The addresses of etcd are given to the registry; further addresses of this service are "advertise".',
  ],
  [
    'what others call it',
    () => resolve({ password: 's3cret' }),
    'Unknown option "password". The user of etcd is "auth": { username, password }.',
  ],
  [
    'what others call it',
    () => jsonFormat({ prefix: '/a' } as never),
    'Unknown option "prefix". The root of the keys is "namespace".',
  ],
  ['of all objects', () => resolve({ constructor: 1 }), /^Unknown option "constructor": the options are/],
])('a name that is no option is refused with what was meant: %s', (_, run, message) => {
  expect(run).toThrow(expect.objectContaining({ code: 'ERR_INVALID_OPTION' }))
  if (typeof message === 'string') expect(run).toThrow(new EtcdRegisterError('ERR_INVALID_OPTION', message))
  else expect(run).toThrow(message)
})

test('what is no object or no time is refused by its name, and by no TypeError', async () => {
  const registry = createRegistry({ hosts: 'http://127.0.0.1:1', logger: false })
  try {
    const refused = { code: 'ERR_INVALID_OPTION' }
    expect(() => registry.discover('web', null as never)).toThrow(expect.objectContaining(refused))
    const registration = registry.register({ name: 'web', port: 80, host: '192.0.2.1' })
    await expect(registration.update(null as never)).rejects.toMatchObject(refused)
    await expect(registration.deregister({ timeout: Number.POSITIVE_INFINITY })).rejects.toMatchObject(
      refused,
    )
    expect(registration.state).toBe('registering')
  } finally {
    await registry.close()
  }
})
