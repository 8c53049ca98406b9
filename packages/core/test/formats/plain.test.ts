import { plainFormat } from '@etcd-register/core'
import { describe, expect, test } from 'vitest'
import { makeInstance } from '../../src/instance/instance.ts'
import { bare, bytes, expectSafe, full, instanceOf, plain } from './instances.ts'

const singleKey = plainFormat({ singleKey: true })
const services = { namespace: '/services', leaseId: '7' }
const root = { namespace: '', leaseId: '7' }

describe('what is written, byte for byte', () => {
  test('a key for each instance, host:port as the value', () => {
    expect(plain.encode(full, services)).toEqual([{ key: '/services/orders/a-1', value: '10.0.0.5:8000' }])
    expect(plain.encode(bare, root)).toEqual([{ key: '/orders/10.0.0.5:8000', value: '10.0.0.5:8000' }])
  })

  test('with singleKey the one key of the service', () => {
    expect(singleKey.encode(full, services)).toEqual([{ key: '/services/orders', value: '10.0.0.5:8000' }])
    expect(singleKey.encode(bare, root)).toEqual([{ key: '/orders', value: '10.0.0.5:8000' }])
  })

  test('IPv6 in brackets', () => {
    const instance = makeInstance({ ...bare, host: 'fd00::5' }, '')
    expect(plain.encode(instance, services)[0]!.value).toBe('[fd00::5]:8000')
  })
})

describe('where it is looked for', () => {
  test.each([
    ['/services', '/services/', '/services/web'],
    ['', '/', '/web'],
  ])('in the namespace %j under both keys, and nowhere near web2', (namespace, start, key) => {
    expect(plain.root(namespace)).toBe(start)
    expect(plain.ranges('web', namespace)).toEqual([{ prefix: `${key}/` }, { key }])
    expect(singleKey.ranges('web', namespace)).toEqual(plain.ranges('web', namespace))
    expect(plain.serviceOf(key, namespace)).toBe('web')
    expect(plain.serviceOf(`${key}/a`, namespace)).toBe('web')
    expect(plain.serviceOf(`${key}2`, namespace)).toBe('web2')
    expect(plain.serviceOf(start, namespace)).toBeUndefined()
    expect(plain.serviceOf(`${key}/a/b`, namespace)).toBeUndefined()
    expect(plain.serviceOf(`${start}/web`, namespace)).toBeUndefined()
  })
})

describe('what is read', () => {
  test.each([
    ['/services/web', '192.168.1.51:8000', '192.168.1.51', '192.168.1.51:8000'],
    ['/services/web/a-1', '192.168.1.51:8000', '192.168.1.51', 'a-1'],
    ['/services/web/a-b', 'web.example.org:8000', 'web.example.org', 'a-b'],
    ['/services/web', 'http://10.0.0.5:8000/path', '10.0.0.5', '10.0.0.5:8000'],
    ['/services/web/a-1', '[fd00::5]:8000', 'fd00::5', 'a-1'],
  ])('%s with %s', (key, value, host, id) => {
    const instance = instanceOf(
      plain.decode({ key, value: bytes(value) }, { namespace: '/services', name: 'web' }),
    )
    const protocol = 'http'
    expect(instance).toEqual(makeInstance({ id, name: 'web', host, port: 8000, protocol }, key))
    expectSafe(instance)
  })

  test('without a namespace, as the oldest writers do', () => {
    const context = { namespace: '', name: 'web' }
    const read = (key: string) => instanceOf(plain.decode({ key, value: bytes('10.0.0.5:80') }, context))
    expect(read('/web').id).toBe('10.0.0.5:80')
    expect(read('/web/a').id).toBe('a')
  })

  test('what was written, under either key', () => {
    for (const format of [plain, singleKey]) {
      const [{ key, value }] = format.encode(bare, services) as [{ key: string; value: string }]
      const read = plain.decode({ key, value: bytes(value) }, { namespace: '/services', name: 'orders' })
      expect(instanceOf(read)).toEqual({ ...bare, key })
    }
  })
})

test.each([
  '',
  '8000',
  ':8000',
  '10.0.0.5',
  '10.0.0.5:',
  '10.0.0.5:0',
  '10.0.0.5:65536',
  '10.0.0.5:8000\n10.0.0.6:8000',
  '10.0.0.5 :8000',
  '10.0.0.5:8000/path',
  '10.0.0.5:8000?a',
  'user@10.0.0.5:8000',
  'fd00::5:8000',
  '127.1:8000',
  '{"id":"a"}',
  '\0',
])('the value %j is skipped', value => {
  const entry = { key: '/services/web/a', value: bytes(value) }
  expect(plain.decode(entry, { namespace: '/services', name: 'web' })).toEqual({ skip: 'not host:port' })
})

test.each(['0.0.0.0:80', '[::]:80', '[0:0::0]:80'])('at the wildcard %s nobody can be called', value => {
  const entry = { key: '/services/web/a', value: bytes(value) }
  const skip = 'an address that nobody can call'
  expect(plain.decode(entry, { namespace: '/services', name: 'web' })).toEqual({ skip })
})

test('a key whose id cannot be printed is skipped', () => {
  const entry = { key: '/services/web/a\n', value: bytes('10.0.0.5:8000') }
  expect(plain.decode(entry, { namespace: '/services', name: 'web' })).toHaveProperty('skip')
})
