import { readdirSync, readFileSync } from 'node:fs'
import { isDeepStrictEqual } from 'node:util'
import { type FormatName, grpcFormat } from '@etcd-register/core'
import { describe, expect, test } from 'vitest'
import { defaultId, type Entry, FACTORIES, FORMATS, resolveFormats } from '../../src/formats/index.ts'
import { type InstanceInput, makeInstance, parseEndpoint } from '../../src/instance/instance.ts'
import { resolveOptions } from '../../src/registry/options.ts'
import { bytes, expectSafe, instanceOf } from './instances.ts'

const folder = new URL('golden/', import.meta.url)

interface Case {
  title: string
  /** Of the format; default none. */
  options?: object
  /** Of the registry; default none. */
  namespace?: string
}

/** How a peer has it, byte for byte. */
interface Golden {
  /** Of the lease, in seconds; and of a service `orders` at 10.0.0.5:8000. */
  defaults: { ttl: number; id: string }
  write: (Case & { leaseId?: string; instance: InstanceInput; entries: Entry[] })[]
  read: (Case & { name: string; key: string; value: string; instance?: InstanceInput; skip?: string })[]
}

function place(name: string, { options, namespace }: Case) {
  const format =
    options === undefined ? (name as FormatName) : FACTORIES[name as FormatName](options as never)
  const [placed] = resolveFormats(
    format,
    namespace === undefined ? { default: '/services' } : { given: namespace },
  )
  return placed!
}

test('every format has a golden file', () => {
  const files = readdirSync(folder).map(file => file.replace('.json', ''))
  expect(files.sort()).toEqual(Object.keys(FORMATS).sort())
})

const goldenOf = (name: string) => JSON.parse(readFileSync(new URL(`${name}.json`, folder), 'utf8')) as Golden

test('docs/interop.md has a row and an example for each format', () => {
  const text = readFileSync(new URL('../../docs/interop.md', import.meta.url), 'utf8')
  const rows = [...text.matchAll(/^\| `([\w-]+)` \|.*\| (\d+) s \| `?([^|`]+)`? \|[^|]+\|$/gm)]
  expect(rows.map(([, name, ttl, id]) => ({ name, ttl: Number(ttl), id }))).toEqual(
    Object.keys(FORMATS).map(name => {
      const { ttl, id } = goldenOf(name).defaults
      const shape = id.replace('10.0.0.5:8000', 'host:port').replace('orders-', '<name>-')
      return { name, ttl, id: shape.replace(/[\da-f]{8}-[\da-f-]{27}$/, 'UUID') }
    }),
  )
  const examples = [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code]) => code).join('')
  for (const [name, factory] of Object.entries(FACTORIES)) {
    expect(examples.includes(`'${name}'`) || examples.includes(factory.name), name).toBe(true)
  }
})

test('docs/interop.md shows keys and values as the golden files have them', () => {
  const text = readFileSync(new URL('../../docs/interop.md', import.meta.url), 'utf8')
  const shown = [...text.matchAll(/^```console\n\$[^\n]*\n(.*?)^```$/gms)].flatMap(([, lines]) =>
    [...lines!.matchAll(/^(.+)\n(.+)\n/gm)].map(([, key, value]) => `${key} ${value}`),
  )
  const golden = Object.keys(FORMATS).flatMap(name => {
    const { write, read } = goldenOf(name)
    return [...write.flatMap(({ entries }) => entries), ...read].map(({ key, value }) => `${key} ${value}`)
  })
  expect(shown.length).toBeGreaterThanOrEqual(Object.keys(FORMATS).length - 1)
  expect(shown.filter(line => !golden.includes(line))).toEqual([])
})

describe.each(Object.keys(FORMATS))('%s', name => {
  const golden = goldenOf(name)

  test('has the lease time and the ids of its registry, where none are given', () => {
    const { ttl, formats } = resolveOptions({ format: name as FormatName }, {})
    const id = defaultId(formats, { name: 'orders', address: '10.0.0.5:8000' })
    expect({ ttl, id }).toEqual(golden.defaults)
  })

  describe('writes', () => {
    test.each(golden.write)('$title', ({ instance, leaseId = '7', entries, ...where }) => {
      const { format, namespace } = place(name, where)
      expect(format.name).toBe(name)
      const written = format.encode(makeInstance(instance, ''), { namespace, leaseId })
      expect(written).toEqual(entries)
      if (!format.capabilities.read) return
      for (const { key, value } of entries) {
        const decoded = format.decode({ key, value: bytes(value) }, { namespace, name: instance.name })
        const read = instanceOf(decoded)
        expect(read).toMatchObject({ name: instance.name, key })
        const places = makeInstance(instance, '').endpoints.map(url => parseEndpoint(url)!)
        expect(places.map(({ host, port }) => ({ host, port }))).toContainEqual({
          host: read.host,
          port: read.port,
        })
      }
    })
  })

  test.each(golden.read)('reads $title', ({ name: service, key, value, instance, skip, ...where }) => {
    const { format, namespace } = place(name, where)
    const decoded = format.decode({ key, value: bytes(value) }, { namespace, name: service })
    if (skip !== undefined) return expect(decoded).toEqual({ skip })
    expect(instanceOf(decoded)).toEqual(makeInstance(instance!, key))
    expectSafe(instanceOf(decoded))
    // Where it is looked for, and by whom.
    const within = format
      .ranges(service, namespace)
      .some(range => ('prefix' in range ? key.startsWith(range.prefix) : key === range.key))
    expect({ within, service: format.serviceOf(key, namespace) }).toEqual({ within: true, service })
    expect(key.startsWith(format.root(namespace))).toBe(true)
  })

  const { format, namespace } = place(name, { title: '' })

  test('looks under prefixes that end in a slash, and in nobody else’s', () => {
    expect(format.capabilities.read).toBe(golden.read.length > 0)
    for (const range of format.ranges('web', namespace)) {
      if ('prefix' in range) expect(range.prefix).toMatch(/\/$/)
      else expect(range.key).toMatch(/web$/)
    }
    if (!format.capabilities.read) expect(format.ranges('web', namespace)).toEqual([])
  })
})

const HTTP = 'http://10.0.0.5:8000'
const base: InstanceInput = { id: 'a', name: 'orders', host: '10.0.0.5', port: 8000, protocol: 'http' }

/** Each of them said, so that it has to change what is written where it is carried. */
const SAID = {
  status: { status: 'suspended' },
  version: { version: 'v2' },
  zone: { zone: 'eu' },
  weight: { weight: 50 },
  metadata: { metadata: { team: 'blue' } },
  endpoints: { endpoints: [HTTP, 'udp://10.0.0.6:53'] },
  protocol: { protocol: 'https', endpoints: [HTTP.replace('http', 'https')] },
} satisfies Record<string, Partial<InstanceInput>>

test.each([...Object.values(FORMATS), grpcFormat({ metadata: true })])(
  '$name carries what it says, and nothing else',
  format => {
    const written = (more: Partial<InstanceInput>) =>
      format.encode(makeInstance({ ...base, ...more }, ''), { namespace: '/services', leaseId: '7' })
    const fields = Object.keys(SAID) as (keyof typeof SAID)[]
    const said = fields.filter(field => {
      const carried = format.capabilities[field] ?? true
      return typeof carried === 'function'
        ? carried((SAID[field] as InstanceInput)[field] as never)
        : carried === true
    })
    expect(said).toEqual(fields.filter(field => !isDeepStrictEqual(written(SAID[field]), written({}))))
  },
)

/** Names that a format has in its own values. */
const NAMES = [
  'broker',
  'weight',
  'zone',
  'version',
  'protocol',
  'registry',
  'server',
  'transport',
  'id',
  'tags',
]

test.each(
  [...Object.values(FORMATS), grpcFormat({ metadata: true })].filter(({ capabilities }) => capabilities.read),
)('$name keeps metadata under any name but the reserved ones', format => {
  const context = { namespace: '/services', name: 'orders', leaseId: '7' }
  const { metadata, reserved = [] } = format.capabilities
  const lost = NAMES.filter(name => {
    const instance = makeInstance({ ...base, metadata: { [name]: 'blue' } }, '')
    const [{ key, value }] = format.encode(instance, context) as [Entry]
    return instanceOf(format.decode({ key, value: bytes(value) }, context)).metadata[name] !== 'blue'
  })
  expect([...reserved].sort()).toEqual(metadata ? lost.sort() : [])
})
