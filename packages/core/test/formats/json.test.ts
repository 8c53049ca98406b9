import { decodeInstance } from '@etcd-register/core'
import { describe, expect, test } from 'vitest'
import { bare, bytes, expectSafe, full, instanceOf, json } from './instances.ts'

const context = { namespace: '/services', name: 'orders' }
const key = '/services/orders/a-1'
const decode = (value: string | object) => json.decode({ key, value: bytes(value) }, context)

/** A value that is good, with a part replaced. */
const changed = (part: object) => ({
  id: 'a-1',
  name: 'orders',
  version: '',
  metadata: {},
  endpoints: ['http://10.0.0.5:8000'],
  ...part,
})

describe('what is written, byte for byte', () => {
  test('an instance with everything', () => {
    expect(json.encode(full, { namespace: '/services', leaseId: '7' })).toEqual([
      {
        key: '/services/orders/a-1',
        value:
          '{"id":"a-1","name":"orders","version":"v1.2.3","metadata":{"team":"blue","note":"日本 \\"x\\""},' +
          '"endpoints":["https://10.0.0.5:8000"],"zone":"eu-1","weight":50,"status":"suspended","format":1}',
      },
    ])
  })

  test('an instance with what it must have', () => {
    expect(json.encode(bare, { namespace: '/services', leaseId: '7' })).toEqual([
      {
        key: '/services/orders/10.0.0.5:8000',
        value:
          '{"id":"10.0.0.5:8000","name":"orders","version":"","metadata":{},' +
          '"endpoints":["http://10.0.0.5:8000"],"zone":"","weight":100,"status":"up","format":1}',
      },
    ])
  })

  test('without a namespace the key begins with a slash all the same', () => {
    expect(json.encode(bare, { namespace: '', leaseId: '7' })[0]!.key).toBe('/orders/10.0.0.5:8000')
  })
})

describe('where it is looked for', () => {
  test.each([
    ['/services', '/services/', '/services/orders/'],
    ['/a/b', '/a/b/', '/a/b/orders/'],
    ['', '/', '/orders/'],
  ])('in the namespace %j', (namespace, root, prefix) => {
    expect(json.root(namespace)).toBe(root)
    expect(json.ranges('orders', namespace)).toEqual([{ prefix }])
    expect(json.serviceOf(`${prefix}a-1`, namespace)).toBe('orders')
  })

  test.each([
    '/services/orders',
    '/services/',
    '/services//a',
    '/services/.hidden/a',
    '/services/a b/c',
    '/services/orders/a/b',
  ])('the key %s belongs to no service', other => expect(json.serviceOf(other, '/services')).toBeUndefined())
})

describe('what is read', () => {
  test.each([full, bare])('our own, unchanged', instance => {
    for (const namespace of ['/services', '']) {
      const [entry] = json.encode(instance, { namespace, leaseId: '7' })
      const read = json.decode({ key: entry!.key, value: bytes(entry!.value) }, { namespace, name: 'orders' })
      expect(instanceOf(read)).toEqual({ ...instance, key: entry!.key })
      expectSafe(instanceOf(read))
    }
  })

  test("Kratos' own, whose weight is in the metadata", () => {
    const value =
      '{"id":"5f3b8d2e-8f0e-11ee-b9d1-0242ac120002","name":"orders","version":"v1.0.0","metadata":{"weight":"10"},' +
      '"endpoints":["http://10.0.0.5:8000","grpc://10.0.0.5:9000"]}'
    expect(instanceOf(decode(value))).toEqual({
      id: '5f3b8d2e-8f0e-11ee-b9d1-0242ac120002',
      name: 'orders',
      host: '10.0.0.5',
      port: 8000,
      protocol: 'http',
      version: 'v1.0.0',
      zone: '',
      weight: 10,
      metadata: { weight: '10' },
      endpoints: ['http://10.0.0.5:8000', 'grpc://10.0.0.5:9000'],
      status: 'up',
      key,
    })
  })

  test("an older Kratos', with metadata null and ?isSecure", () => {
    const value =
      '{"id":"a","name":"orders","version":"","metadata":null,"endpoints":["grpc://[fd00::5]:9000?isSecure=false"]}'
    const { host, port, protocol, metadata, endpoints } = instanceOf(decode(value))
    expect({ host, port, protocol, metadata, endpoints }).toEqual({
      host: 'fd00::5',
      port: 9000,
      protocol: 'grpc',
      metadata: {},
      endpoints: ['grpc://[fd00::5]:9000'],
    })
  })

  test.each([
    ['0', 0],
    ['1000', 1000],
    ['5000', 5000],
    ['1000000', 1_000_000],
    ['1000001', 1_000_000],
    ['99999999999999999999', 1_000_000],
    ['', 100],
    ['-1', 100],
    ['1e2', 100],
    ['0x10', 100],
    [' 7 ', 100],
    ['heavy', 100],
  ])('a weight of %j in the metadata counts as %i', (weight, expected) => {
    expect(instanceOf(decode(changed({ metadata: { weight } }))).weight).toBe(expected)
    expect(instanceOf(decode(changed({ weight: 7, metadata: { weight } }))).weight).toBe(7)
  })

  test.each([
    [0, 0],
    ['7', 7],
    [1001, 1001],
    [1_000_000, 1_000_000],
    [1e308, 1_000_000],
  ])('a weight of %j counts as %i', (weight, expected) => {
    const instance = instanceOf(decode(changed({ weight })))
    expect(instance.weight).toBe(expected)
    expectSafe(instance)
  })

  test('numbers, true and false in metadata, as text', () => {
    const instance = instanceOf(decode(changed({ metadata: { a: 1, b: true, c: 'd', e: -1.5, f: null } })))
    expect(instance.metadata).toEqual({ a: '1', b: 'true', c: 'd', e: '-1.5', f: '' })
    expectSafe(instance)
  })

  test("an older Kratos' with TLS, by the query ?isSecure=true", () => {
    const endpoints = ['http://10.0.0.35:8002?isSecure=true', 'grpc://10.0.0.35:9002?isSecure=false']
    expect(instanceOf(decode(changed({ endpoints })))).toMatchObject({
      protocol: 'https',
      endpoints: ['https://10.0.0.35:8002', 'grpc://10.0.0.35:9002'],
    })
  })

  test('as many as 32 endpoints', () => {
    const endpoints = Array(32).fill('http://10.0.0.5:8000')
    expect(instanceOf(decode(changed({ endpoints }))).endpoints).toEqual(endpoints)
  })

  test('fields of a later version are left aside', () => {
    const later = { format: 2, region: { name: 'eu' }, key: '/other', __proto__x: 1, tags: ['a'] }
    expect(instanceOf(decode(changed(later)))).toEqual(instanceOf(decode(changed({}))))
  })

  test('a key of metadata that JavaScript gives a meaning is an ordinary key', () => {
    const value = JSON.stringify(changed({})).replace(
      '"metadata":{}',
      '"metadata":{"__proto__":"p","constructor":"c","hasOwnProperty":"h","toString":"t"}',
    )
    const instance = instanceOf(decode(value))
    expect(Object.entries(instance.metadata)).toEqual([
      ['__proto__', 'p'],
      ['constructor', 'c'],
      ['hasOwnProperty', 'h'],
      ['toString', 't'],
    ])
    expectSafe(instance)
    expect(({} as Record<string, unknown>).p).toBeUndefined()
  })
})

describe('what is skipped, with the reason', () => {
  test.each(['a b', 'HTTP', '', 7, null])('of a format of one’s own, the protocol %j', protocol => {
    const found = { name: 'orders', id: 'a', address: '10.0.0.5:8000', protocol }
    expect(decodeInstance(found, key)).toEqual({ skip: '"protocol" is not a URL scheme' })
  })

  test.each<[string | object, string]>([
    ['', 'not JSON'],
    ['{', 'not JSON'],
    ['10.0.0.5:8000', 'not JSON'],
    ['\0\xff', 'not JSON'],
    ['['.repeat(60_000), 'not JSON'],
    ['null', 'not a JSON object'],
    ['7', 'not a JSON object'],
    ['[]', '"name"'],
    ['{}', '"name"'],
    ['{"__proto__":{"name":"orders","id":"a"}}', '"name"'],
    [changed({ name: 'payments' }), '"name" is not the name of the service'],
    [changed({ id: '' }), '"id"'],
    [changed({ id: 7 }), '"id"'],
    [changed({ id: 'a\nb' }), '"id"'],
    [changed({ id: 'x'.repeat(513) }), '"id"'],
    [changed({ version: 1 }), '"version"'],
    [changed({ version: 1 }), '"version"'],
    [changed({ zone: {} }), '"zone"'],
    [changed({ status: 'down' }), '"status"'],
    [changed({ status: ['up'] }), '"status"'],
    [changed({ metadata: [] }), '"metadata"'],
    [changed({ metadata: 'a' }), '"metadata"'],
    [changed({ metadata: { a: {} } }), '"metadata"'],
    [changed({ metadata: { a: null, b: [1] } }), '"metadata"'],
    [JSON.stringify(changed({})).replace('"metadata":{}', '"metadata":{"__proto__":{}}'), '"metadata"'],
    [changed({ weight: -1 }), '"weight"'],
    [changed({ weight: '-1' }), '"weight"'],
    [changed({ weight: 'heavy' }), '"weight"'],
    [changed({ weight: true }), '"weight"'],
    [changed({ weight: 1.5 }), '"weight"'],
    [changed({ endpoints: null }), '"endpoints"'],
    [changed({ endpoints: undefined }), '"endpoints"'],
    [changed({ endpoints: [] }), '"endpoints"'],
    [changed({ endpoints: {} }), '"endpoints"'],
    [changed({ endpoints: 'http://10.0.0.5:8000' }), '"endpoints"'],
    [changed({ endpoints: [7] }), '"endpoints"'],
    [changed({ endpoints: Array(33).fill('http://10.0.0.5:8000') }), 'up to 32'],
    [changed({ endpoints: ['http://10.0.0.5:8000', null] }), '"endpoints"'],
    [changed({ endpoints: ['http://0.0.0.0:8000', 'grpc://[::]:9000'] }), '"endpoints"'],
  ])('%j', (value, reason) => {
    const decoded = decode(value)
    expect(decoded).toHaveProperty('skip')
    expect((decoded as { skip: string }).skip).toContain(reason)
  })

  test.each([
    'kafka://',
    'http://10.0.0.5',
    'http://10.0.0.5:0',
    'http://10.0.0.5:65536',
    'http://10.0.0.5:-1',
    'http://:8000',
    'http://user:password@10.0.0.5:8000',
    'http://10.0.0.5:8000\n',
    'http://10.0.0.5\n:8000',
    'http://10.0.0.5:8000/\nHost: x',
    'http://10.0.0.5 :8000',
    'http://300.0.0.1:8000',
    'http://127.1:8000',
    'http://[10.0.0.5]:8000',
    'http://[::1:8000',
    'http://fd00::5:8000',
    'http://[fe80::1%25eth0]:8000',
    'http://a..b:8000',
    'http://a/b:8000',
    'HTTP://10.0.0.5:8000',
    'javascript:alert(1)//:80',
    '//10.0.0.5:8000',
    `${'x'.repeat(33)}://10.0.0.5:8000`,
    `http://${'a'.repeat(254)}:8000`,
  ])('the endpoint %j', endpoint => {
    expect(decode(changed({ endpoints: [endpoint] }))).toHaveProperty('skip')
    const beside = decode(changed({ endpoints: [endpoint, 'http://10.0.0.5:8000'] }))
    expect(instanceOf(beside)).toMatchObject({ host: '10.0.0.5', endpoints: ['http://10.0.0.5:8000'] })
  })
})
