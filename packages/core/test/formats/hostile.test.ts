import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { makeInstance } from '../../src/instance.ts'
import { bytes, expectSafe, instanceOf, json, plain } from './instances.ts'

const context = { namespace: '/services', name: 'orders' }
const key = '/services/orders/a'

const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,40}$/)
const host = fc.oneof(
  fc.ipV4(),
  fc.ipV6().filter(address => !address.includes('.')),
  fc.domain(),
)
const port = fc.integer({ min: 1, max: 65_535 })
const text = fc.string({ unit: 'grapheme', maxLength: 20 })

/** Property names that JavaScript or we give a meaning. */
const fieldName = fc.constantFrom(
  ...['id', 'name', 'version', 'metadata', 'endpoints', 'zone', 'weight', 'status', 'format'],
  ...['__proto__', 'constructor', 'prototype', 'toString', 'toJSON', 'key', 'length', 'then'],
)

/** Mostly good, so that many get past the first checks. */
const mostly = (good: fc.Arbitrary<unknown>, bad: fc.Arbitrary<unknown>) =>
  fc.oneof({ arbitrary: good, weight: 9 }, { arbitrary: bad, weight: 1 })

const odd = fc.oneof(fc.jsonValue({ maxDepth: 4 }), fc.double({ noNaN: true }), fieldName)

const url = fc
  .tuple(fc.constantFrom('http', 'grpc', 'x'), host, port, fc.constantFrom('', '/', '?a', '#'))
  .map(([protocol, h, p, rest]) => `${protocol}://${h.includes(':') ? `[${h}]` : h}:${p}${rest}`)

const nearly: Record<string, fc.Arbitrary<unknown>> = {
  id: mostly(fc.constantFrom('a', 'a/b'), odd),
  name: mostly(fc.constant('orders'), odd),
  version: mostly(fc.constantFrom('v1', '', undefined), odd),
  zone: mostly(fc.constantFrom('eu', '', undefined), odd),
  weight: mostly(fc.oneof(fc.integer({ min: 0, max: 1000 }), fc.constant(undefined)), odd),
  status: mostly(fc.constantFrom('up', 'leaving', 'suspended', undefined), odd),
  metadata: mostly(
    fc.dictionary(fc.oneof(fieldName, text), fc.oneof(text, fieldName), { noNullPrototype: false }),
    odd,
  ),
  endpoints: mostly(fc.array(mostly(url, fc.oneof(fc.webUrl(), odd)), { minLength: 1, maxLength: 3 }), odd),
}

/** As text, since an object of ours could not have a field twice, or `__proto__` as an own property. */
const hostileJson = fc
  .tuple(fc.record(nearly), fc.array(fc.tuple(fieldName, odd), { maxLength: 3 }), fc.boolean())
  .map(([fields, extra, last]) => {
    const own = Object.entries(fields).filter(([, value]) => value !== undefined)
    const members = last ? [...own, ...extra] : [...extra, ...own]
    return `{${members.map(([field, value]) => `${JSON.stringify(field)}:${JSON.stringify(value)}`).join(',')}}`
  })

describe.each([json, plain])('$name', format => {
  /** Decoding gives an instance that is safe, or a reason of one line; it does not throw. */
  function decodes(value: Buffer, at: string): boolean {
    const decoded = format.decode({ key: at, value }, context)
    if ('instance' in decoded) expectSafe(decoded.instance)
    else expect(decoded.skip).toMatch(/^.{3,120}$/)
    return 'instance' in decoded
  }

  test('any bytes under any key are read or skipped', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.string({ unit: 'binary' }), (value, end) => {
        decodes(Buffer.from(value), `/services/orders/${end}`)
      }),
      { numRuns: 300 },
    )
  })

  test('any JSON is read or skipped', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), value => void decodes(bytes(value), key)),
      { numRuns: 300 },
    )
  })

  test('any text of the form host:port is read or skipped', () => {
    let read = 0
    fc.assert(
      fc.property(fc.oneof(host, text, fc.webAuthority()), fc.oneof(port, fc.integer(), text), (h, p) => {
        if (decodes(bytes(`${h}:${p}`), key)) read += 1
      }),
      { numRuns: 300 },
    )
    if (format === plain) expect(read).toBeGreaterThan(20)
  })
})

test('JSON that is nearly right, with fields twice and names with a meaning, is read or skipped', () => {
  let read = 0
  fc.assert(
    fc.property(hostileJson, value => {
      const decoded = json.decode({ key, value: bytes(value) }, context)
      if ('skip' in decoded) return
      read += 1
      expectSafe(decoded.instance)
      expect(decoded.instance.name).toBe('orders')
    }),
    { numRuns: 2000 },
  )
  expect(read, 'good ones among them').toBeGreaterThan(200)
  expect(Object.getPrototypeOf({})).toBe(Object.prototype)
})

test('a value as large as etcd takes, and one nested as deep as fits, end at once', () => {
  const large = JSON.stringify({
    id: 'a',
    name: 'orders',
    metadata: { a: 'x'.repeat(1_500_000) },
    endpoints: [],
  })
  for (const value of [large, '['.repeat(1_500_000), '{"a":'.repeat(300_000), '9'.repeat(1_500_000)]) {
    const before = performance.now()
    expect(json.decode({ key, value: bytes(value) }, context)).toHaveProperty('skip')
    expect(plain.decode({ key, value: bytes(value) }, context)).toHaveProperty('skip')
    expect(performance.now() - before).toBeLessThan(1000)
  }
})

const fields = fc.record({
  id: fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 60 })
    .filter(value => !/[/\p{Cc}\ufffd]/u.test(value)),
  name,
  host,
  port,
  protocol: fc.stringMatching(/^[a-z][a-z0-9+.-]{0,31}$/),
  version: text,
  zone: text,
  weight: fc.integer({ min: 0, max: 1000 }),
  metadata: fc.dictionary(text, text, { noNullPrototype: false }),
  status: fc.constantFrom('up' as const, 'leaving' as const, 'suspended' as const),
})

test('what json writes it reads back, the same in everything', () => {
  fc.assert(
    fc.property(fields, fc.constantFrom('/services', '', '/a/b'), (input, namespace) => {
      const [entry] = json.encode(makeInstance(input, ''), { namespace, leaseId: '7' })
      const raw = { key: entry!.key, value: bytes(entry!.value) }
      const instance = instanceOf(json.decode(raw, { namespace, name: input.name }))
      expect(instance).toEqual(makeInstance(input, entry!.key))
      expect(json.serviceOf(entry!.key, namespace)).toBe(input.name)
      const [{ prefix }] = json.ranges(input.name, namespace) as [{ prefix: string }]
      expect(entry!.key.startsWith(prefix)).toBe(true)
      expectSafe(instance)
    }),
    { numRuns: 500 },
  )
})

test('what plain writes it reads back: name, id, host and port', () => {
  fc.assert(
    fc.property(fields, fc.constantFrom('/services', ''), (input, namespace) => {
      const [entry] = plain.encode(makeInstance(input, ''), { namespace, leaseId: '7' })
      const raw = { key: entry!.key, value: bytes(entry!.value) }
      const { id, host, port } = input
      const read = instanceOf(plain.decode(raw, { namespace, name: input.name }))
      expect(read).toMatchObject({ id, name: input.name, host, port, status: 'up' })
      expect(plain.serviceOf(entry!.key, namespace)).toBe(input.name)
    }),
    { numRuns: 500 },
  )
})
