import { grpcFormat } from '@etcd-register/core'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { isWildcard } from '../../src/etcd/support/host.ts'
import { FORMATS, resolveFormats } from '../../src/formats/index.ts'
import { isProtocol, makeInstance } from '../../src/instance/instance.ts'
import { bytes, expectSafe, instanceOf, json, plain } from './instances.ts'

/** Those that can be read, with a namespace and the beginning of a key in it. */
const readable = [...Object.values(FORMATS), grpcFormat({ metadata: true })]
  .flatMap(format => resolveFormats(format, { default: '/services' }))
  .filter(({ format }) => format.capabilities.read)
  .map(({ format, namespace }) => {
    const [range] = format.ranges('orders', namespace) as [{ prefix: string }]
    return {
      format,
      namespace,
      prefix: range.prefix,
      of: `${format.name}${format === FORMATS.grpc ? ' without metadata' : ''}`,
    }
  })

const name = fc.stringMatching(/^[A-Za-z0-9][A-Za-z0-9._-]{0,40}$/)
const host = fc
  .oneof(
    fc.ipV4(),
    fc.ipV6().filter(address => !address.includes('.')),
    fc.domain(),
  )
  .filter(address => !isWildcard(address))
const port = fc.integer({ min: 1, max: 65_535 })
const text = fc.string({ unit: 'grapheme', maxLength: 20 })
/** A version, a zone, the name of a metadata pair. */
const label = text.filter(value => !/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\ufffd]/u.test(value))

/** Property names that JavaScript or we give a meaning. */
const fieldName = fc.constantFrom(
  ...['id', 'name', 'version', 'metadata', 'endpoints', 'zone', 'weight', 'status', 'format'],
  ...['__proto__', 'constructor', 'prototype', 'toString', 'toJSON', 'key', 'length', 'then'],
)

/** Mostly good, so that many get past the first checks. */
const mostly = (good: fc.Arbitrary<unknown>, bad: fc.Arbitrary<unknown>) =>
  fc.oneof({ arbitrary: good, weight: 9 }, { arbitrary: bad, weight: 1 })

/** What JSON can say of the methods that make a string of an object, and a nest of lists. */
const traps = fc.oneof(
  fc.constantFrom({ toString: 1, valueOf: 1 }, { toString: null }, [{ toString: {}, valueOf: 'x' }]),
  fc.integer({ min: 50, max: 500 }).map(depth =>
    Array(depth)
      .fill(0)
      .reduce<unknown>(list => [list], 'x'),
  ),
)

const odd = fc.oneof(fc.jsonValue({ maxDepth: 4 }), fc.double({ noNaN: true }), fieldName, traps)

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

const pairs = mostly(fc.dictionary(fieldName, text, { noNullPrototype: false }), odd)
const address = mostly(
  fc.tuple(host, port).map(([h, p]) => `${h.includes(':') ? `[${h}]` : h}:${p}`),
  fc.oneof(text, odd),
)

/** What the JSON formats of other registries look like. */
const theirs: Record<string, Record<string, fc.Arbitrary<unknown>>> = {
  json: nearly,
  kratos: nearly,
  kitex: { network: mostly(fc.constant('tcp'), odd), address, weight: odd, tags: pairs },
  'go-micro': {
    name: nearly.name!,
    version: nearly.version!,
    metadata: odd,
    endpoints: odd,
    nodes: mostly(
      fc.array(mostly(fc.record({ id: nearly.id!, address, metadata: pairs }), odd), { maxLength: 3 }),
      odd,
    ),
  },
  grpc: {
    Op: mostly(fc.constant(0), odd),
    Addr: address,
    Metadata: odd,
    addr: mostly(fc.constant(undefined), odd),
  },
}

/** As text, since an object of ours could not have a field twice, or `__proto__` as an own property. */
const hostileJson = (fields: Record<string, fc.Arbitrary<unknown>>) =>
  fc
    .tuple(fc.record(fields), fc.array(fc.tuple(fieldName, odd), { maxLength: 3 }), fc.boolean())
    .map(([fields, extra, last]) => {
      const own = Object.entries(fields).filter(([, value]) => value !== undefined)
      const members = last ? [...own, ...extra] : [...extra, ...own]
      return `{${members.map(([field, value]) => `${JSON.stringify(field)}:${JSON.stringify(value)}`).join(',')}}`
    })

describe.each(readable)('$of', ({ format, namespace, prefix }) => {
  const context = { namespace, name: 'orders' }
  const key = `${prefix}a`

  /** Decoding gives an instance that is safe, or a reason of one line; it does not throw. */
  function decodes(value: Buffer, at: string): boolean {
    const decoded = format.decode({ key: at, value }, context)
    if ('instance' in decoded) expectSafe(decoded.instance)
    else if (!('ignore' in decoded)) expect(decoded).toEqual({ skip: expect.stringMatching(/^.{3,120}$/) })
    return 'instance' in decoded
  }

  test('any bytes under any key are read or skipped', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), fc.string({ unit: 'binary' }), (value, end) => {
        decodes(Buffer.from(value), `${prefix}${end}`)
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
    if (format === FORMATS.plain) expect(read).toBeGreaterThan(20)
  })

  if (format.name in theirs) {
    test('JSON that is nearly right, with fields twice and names with a meaning, is read or skipped', () => {
      let read = 0
      fc.assert(
        fc.property(hostileJson(theirs[format.name]!), value => {
          if (decodes(bytes(value), key)) read += 1
        }),
        { numRuns: 1000 },
      )
      expect(read, 'good ones among them').toBeGreaterThan(100)
      expect(Object.getPrototypeOf({})).toBe(Object.prototype)
    })
  }

  test('a value as large as etcd takes, and one nested as deep as fits, end at once', () => {
    const large = JSON.stringify({
      id: 'a',
      name: 'orders',
      metadata: { a: 'x'.repeat(1_500_000) },
      endpoints: [],
      nodes: Array(50_000).fill({}),
    })
    for (const value of [large, '['.repeat(1_500_000), '{"a":'.repeat(300_000), '9'.repeat(1_500_000)]) {
      const before = process.cpuUsage()
      expect(format.decode({ key, value: bytes(value) }, context)).toHaveProperty('skip')
      const { user, system } = process.cpuUsage(before)
      expect(user + system, 'microseconds of the processor').toBeLessThan(1_000_000)
    }
  })

  test('what it writes it reads back, all that it can carry', () => {
    fc.assert(
      fc.property(fields, fc.constantFrom(namespace, '', '/a/b'), (input, at) => {
        const instance = makeInstance({ ...input, weight: Math.max(1, input.weight) }, '')
        const [entry] = format.encode(
          { ...instance, status: format.capabilities.status ? instance.status : 'up' },
          { namespace: at, leaseId: '7' },
        )
        const read = instanceOf(
          format.decode({ key: entry!.key, value: bytes(entry!.value) }, { namespace: at, name: input.name }),
        )
        const { version, zone, weight: carried, metadata } = format.capabilities
        const weight = typeof carried === 'function' ? carried(instance.weight) : carried
        expect(read).toMatchObject({
          ...{ name: input.name, host: instance.host, port: instance.port, key: entry!.key },
          ...(version && { version: format.name === 'go-micro' ? input.version || 'latest' : input.version }),
          ...(zone && { zone: input.zone }),
          ...(weight && { weight: instance.weight }),
        })
        // Some have fields of their own among the metadata.
        const own = ['weight', 'zone', 'version', 'protocol', 'registry', 'server', 'transport']
        for (const [name, value] of metadata ? Object.entries(input.metadata) : []) {
          if (!own.includes(name)) expect(read.metadata[name]).toBe(value)
        }
        expect(format.serviceOf(entry!.key, at)).toBe(input.name)
        const ranges = format.ranges(input.name, at)
        expect(ranges.some(range => 'prefix' in range && entry!.key.startsWith(range.prefix))).toBe(true)
        expectSafe(read)
      }),
      { numRuns: 300 },
    )
  })
})

const fields = fc.record({
  id: fc
    .string({ unit: 'grapheme', minLength: 1, maxLength: 60 })
    .filter(value => !/[/\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}\ufffd]/u.test(value)),
  name,
  host,
  port,
  protocol: fc.stringMatching(/^[a-z][a-z0-9+.-]{0,31}$/).filter(isProtocol),
  version: label,
  zone: label,
  weight: fc.integer({ min: 0, max: 1000 }),
  metadata: fc.dictionary(label, text, { noNullPrototype: false }),
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
