import { type Decoded, jsonFormat, type RawEntry } from '@etcd-register/core'
import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { expectConverged } from '../support/oracle.ts'
import { valueFor } from '../support/raw-writer.ts'
import { discover, keepLog, nextEvent, openRegistry, openWriter, reached } from '../support/read-side.ts'

let etcd: EtcdMember

beforeAll(async () => {
  etcd = await startEtcdBinary()
})
afterAll(() => etcd.stop())

const fields = (changed: object) => valueFor('web', 'x', changed)
const endpoints = (...list: unknown[]) => fields({ endpoints: list })
const metadata = (json: string) => fields({}).replace('"metadata":{}', `"metadata":${json}`)

const bad: Record<string, string> = {
  'an empty value': '',
  'text that is not JSON': '10.0.0.5:8000',
  'half a JSON object': fields({}).slice(0, -10),
  'JSON of another kind': '[1, 2]',
  'the JSON null': 'null',
  'brackets 60,000 deep': '['.repeat(60_000),
  'the name of another service': valueFor('other', 'x'),
  'an id that is a number': fields({ id: 7 }),
  'an id with a line break': fields({ id: 'x\ny' }),
  'no id': fields({ id: undefined }),
  'a version that is a number': fields({ version: 2 }),
  'a status nobody knows': fields({ status: 'down' }),
  'a weight that is a word': fields({ weight: 'heavy' }),
  'a weight below 0': fields({ weight: -1 }),
  'a weight below 0 as text': fields({ weight: '-1' }),
  'half a weight': fields({ weight: 1.5 }),
  'metadata that is a list': fields({ metadata: ['a'] }),
  'metadata with an object in it': fields({ metadata: { a: {} } }),
  'metadata with an object as __proto__': metadata('{"__proto__":{"polluted":"yes"}}'),
  'metadata with an object as constructor': metadata('{"constructor":{"prototype":{"polluted":"yes"}}}'),
  'no endpoints': endpoints(),
  'endpoints that are text': fields({ endpoints: 'http://10.0.0.5:8000' }),
  'an endpoint without a port': endpoints('http://10.0.0.5'),
  'an endpoint at port 0': endpoints('http://10.0.0.5:0'),
  'an endpoint beyond the last port': endpoints('http://10.0.0.5:65536'),
  'an endpoint with a password': endpoints('http://user:secret@10.0.0.5:80'),
  'an endpoint with half an IPv6 address': endpoints('http://[::1:80'),
  'an endpoint that is a script': endpoints('javascript:alert(1)'),
  'a good endpoint and a number': endpoints('http://10.0.0.5:80', 7),
  'a value of 1 MB': fields({ metadata: { note: 'x'.repeat(1024 * 1024) } }),
}

/** Sound in its form, and still nothing to serve. */
const unsafe: Record<string, string> = {
  'an id with a slash': fields({ id: 'x/1' }),
  'an id with an override of the direction': fields({ id: 'x\u202e' }),
  'a version of two lines': fields({ version: 'v1\nv2' }),
  'a zone that is too long': fields({ zone: 'x'.repeat(257) }),
  'metadata of 257 pairs': fields({ metadata: Object.fromEntries([...Array(257).keys()].map(i => [i, ''])) }),
  'metadata with ESC in a name': fields({ metadata: { '\u001b[2J': '' } }),
  'metadata with NUL in a value': fields({ metadata: { note: '\u0000' } }),
  'metadata with a value that is too long': fields({ metadata: { note: 'x'.repeat(16_385) } }),
  'an endpoint at a wildcard': endpoints('http://0.0.0.0:80'),
  'an endpoint at a wildcard within IPv6': endpoints('http://[::ffff:0.0.0.0]:80'),
  'an endpoint that is a file': endpoints('file://10.0.0.5:80'),
  'an endpoint that is a script at a port': endpoints('javascript://10.0.0.5:80'),
  'an endpoint that is data': endpoints('data://10.0.0.5:80'),
  'an endpoint at a name of broken punycode': endpoints('http://xn--a:80'),
  'an endpoint at a label that is too long': endpoints(`http://${'x'.repeat(64)}.example:80`),
}

test.for([
  ['bad', bad],
  ['unsafe', unsafe],
] as const)(
  'each %s value among good ones is skipped with one warning, and the others are served',
  async ([namespace, values], t) => {
    const logger = keepLog()
    const registry = openRegistry(t, etcd.endpoint, { namespace: `/${namespace}`, logger })
    const writer = openWriter(t, etcd.endpoint)
    const keyOf = (i: number) => `/${namespace}/web/bad${i}`
    const kinds = Object.entries(values)
    const half = Math.floor(kinds.length / 2)
    for (const [i, [, value]] of kinds.slice(0, half).entries()) await writer.put(keyOf(i), value)
    await writer.put(`/${namespace}/web/good`, valueFor('web', 'good'))
    const { discovery } = await discover(registry, 'web')
    for (const [i, [, value]] of kinds.entries()) if (i >= half) await writer.put(keyOf(i), value)
    await reached(discovery, await writer.put(`/${namespace}/web/last`, valueFor('web', 'last')))

    expect(discovery.instances.map(({ id }) => id)).toEqual(['good', 'last'])
    for (const [i, [kind]] of kinds.entries()) {
      const lines = logger.lines.filter(({ fields: { key } }) => key === keyOf(i))
      expect(lines, kind).toHaveLength(1)
      expect(lines[0], kind).toMatchObject({ level: 'warn', fields: { service: 'web' } })
    }
    expect(logger.lines).toHaveLength(kinds.length)
    expect(registry.status().watches[0]).toMatchObject({ instances: 2, skipped: kinds.length })
  },
)

test('a bad value warns once however often it is written, comes when it is good, and goes when it is not', async t => {
  const logger = keepLog()
  const registry = openRegistry(t, etcd.endpoint, { namespace: '/again', logger })
  const writer = openWriter(t, etcd.endpoint)
  const { discovery, witness } = await discover(registry, 'web')
  const put = async (value: string) => reached(discovery, await writer.put('/again/web/x', value))
  for (let i = 0; i < 5; i += 1) await put(`garbage ${i}`)
  expect(logger.of('warn')).toHaveLength(1)
  expect(witness.changes).toHaveLength(0)

  await put(valueFor('web', 'x'))
  expect(witness.changes.at(-1)).toMatchObject({ added: [{ id: 'x' }], removed: [], updated: [] })
  await put('garbage')
  expect(witness.changes.at(-1)).toMatchObject({ added: [], removed: [{ id: 'x' }], updated: [] })
  expect(discovery.instances).toEqual([])
  const said = logger.of('warn').slice(1)
  expect(said, 'it was good for less than a minute').toEqual([
    'the value at "/again/web/x" is an instance now',
  ])

  await reached(discovery, await writer.del('/again/web/x'))
  expect(witness.changes).toHaveLength(2)
  expect(registry.status().watches[0]).toMatchObject({ instances: 0, skipped: 0 })
})

test('metadata keys like __proto__ and constructor are plain text', async t => {
  const registry = openRegistry(t, etcd.endpoint, { namespace: '/hostile' })
  const writer = openWriter(t, etcd.endpoint)
  const hostile = '{"__proto__":"a","constructor":"b","toString":"c"}'
  await writer.put('/hostile/web/x', metadata(hostile))
  const { discovery } = await discover(registry, 'web')
  const found = discovery.instances[0]!.metadata
  expect(JSON.stringify(found)).toBe(hostile)
  expect(Object.getPrototypeOf(found)).toBeNull()
  expect(Object.isFrozen(found)).toBe(true)
  expect(({} as Record<string, unknown>).polluted).toBeUndefined()
})

test("a value that the user's own format fails on is a bad value", async t => {
  const logger = keepLog()
  const decode = (entry: RawEntry, context: { namespace: string; name: string }): Decoded => {
    if (entry.key.endsWith('throws')) throw new Error('no')
    if (entry.key.endsWith('no-text')) throw Object.create(null)
    if (entry.key.endsWith('nothing')) return undefined as unknown as Decoded
    if (entry.key.endsWith('no-reason')) return { skip: 7 as never }
    return jsonFormat().decode(entry, context)
  }
  const format = { ...jsonFormat(), name: 'own', decode }
  const registry = openRegistry(t, etcd.endpoint, { namespace: '/own', logger, format })
  const writer = openWriter(t, etcd.endpoint)
  const { discovery } = await discover(registry, 'web')
  const ids = ['throws', 'no-text', 'nothing', 'no-reason', 'good']
  const put = (id: string) => ({ put: `/own/web/${id}`, value: valueFor('web', id) })
  await reached(discovery, await writer.write(ids.map(put)))
  expect(discovery.instances.map(({ id }) => id)).toEqual(['good'])
  const reasons = logger.lines.filter(({ level }) => level === 'warn').map(({ fields }) => fields.reason)
  expect(reasons).toEqual(Array(4).fill(expect.any(String)))
})

test('a service never sees one whose name begins like its own', async t => {
  const registry = openRegistry(t, etcd.endpoint, { namespace: '/names' })
  const writer = openWriter(t, etcd.endpoint)
  const names = ['web', 'web2', 'web-a', 'web.a', 'web_a', 'we', 'WEB', 'web..', 'web-', 'web0']
  await writer.write(names.map(name => ({ put: `/names/${name}/1`, value: valueFor(name, '1') })))
  const found = await Promise.all(names.map(name => discover(registry, name)))
  for (const [i, { discovery, witness }] of found.entries()) {
    expect(discovery.instances.map(({ name }) => name)).toEqual([names[i]])
    await expectConverged(witness, etcd, `/names/${names[i]}/`)
  }
  const before = found.map(({ witness }) => witness.changes.length)
  await reached(found[0]!.discovery, await writer.put('/names/web/2', valueFor('web', '2')))
  await Promise.all(
    found.slice(1).map(async ({ discovery, witness }, i) => {
      const name = names[i + 1]!
      await reached(discovery, await writer.put(`/names/${name}/2`, valueFor(name, '2')))
      expect(witness.changes).toHaveLength(before[i + 1]! + 1)
    }),
  )
  expect(await registry.services()).toEqual([...names].sort())
})

test.for(['', '/'])(
  'the plain format reads /web and /web/<id> in the namespace "%s"',
  async (namespace, t) => {
    const registry = openRegistry(t, etcd.endpoint, { namespace, format: 'plain' })
    const writer = openWriter(t, etcd.endpoint)
    const name = `plain${namespace.length}`
    await writer.put(`/${name}`, '10.0.0.1:80')
    await writer.put(`/${name}2`, '10.0.0.9:80')
    await writer.put(`/${name}/a`, '[::1]:8080')
    const { discovery, witness } = await discover(registry, name)
    const addresses = () => discovery.instances.map(({ key, endpoints: [url] }) => `${key} ${url}`).sort()
    t.expect(addresses()).toEqual([`/${name} http://10.0.0.1:80`, `/${name}/a http://[::1]:8080`])
    t.expect(await registry.services()).toEqual(t.expect.arrayContaining([name, `${name}2`]))
    if (discovery.stale) await nextEvent(discovery, 'fresh')

    const gone = nextEvent(discovery, 'change')
    await writer.del(`/${name}`)
    await gone
    const moved = nextEvent(discovery, 'change')
    await writer.put(`/${name}/a`, '10.0.0.3:80')
    await moved
    t.expect(addresses()).toEqual([`/${name}/a http://10.0.0.3:80`])
    t.expect(witness.differences()).toEqual([])
  },
)

test('a key that a format ignores is no instance, and no complaint', async t => {
  const log = keepLog()
  const inner = jsonFormat()
  const format = {
    ...inner,
    decode: (entry: RawEntry, context: { namespace: string; name: string }): Decoded =>
      entry.value.equals(Buffer.from('weight=5')) ? { ignore: true } : inner.decode(entry, context),
  }
  const registry = openRegistry(t, etcd.endpoint, { logger: log, format })
  const writer = openWriter(t, etcd.endpoint)
  await writer.put('/services/two/a', valueFor('two', 'a'))
  await writer.put('/services/two/more', 'weight=5')
  const { discovery } = await discover(registry, 'two')
  t.expect(discovery.instances).toMatchObject([{ id: 'a' }])
  const counted = () => registry.status().watches[0]!
  t.expect(counted()).toMatchObject({ instances: 1, skipped: 0 })
  const put = async (value: string) => reached(discovery, await writer.put('/services/two/more', value))
  await put(valueFor('two', 'b'))
  t.expect(counted()).toMatchObject({ instances: 2 })
  await put('weight=5')
  t.expect(counted()).toMatchObject({ instances: 1 })
  await reached(discovery, await writer.del('/services/two/more'))
  t.expect(counted()).toMatchObject({ instances: 1, skipped: 0 })
  t.expect(log.of('warn')).toEqual([])
})

test('a value that a format fails at, or that is too long, hides no service from services()', async t => {
  const text = (value: Buffer) => JSON.parse(value.toString()) as { name: string }
  const picky = {
    ...jsonFormat({ namespace: '/picky' }),
    serviceOf(key: string, namespace: string) {
      if (key.includes('/nameless/')) throw new Error('boom')
      return jsonFormat().serviceOf(key, namespace)
    },
    decode(entry: RawEntry, context: { namespace: string; name: string }): Decoded {
      if (text(entry.value).name === 'boom') throw new Error('boom')
      return jsonFormat().decode(entry, context)
    },
  }
  const writer = openWriter(t, etcd.endpoint)
  await writer.put('/picky/boom/a', valueFor('boom', 'a'))
  await writer.put('/picky/long/a', valueFor('long', 'a') + ' '.repeat(65_536))
  await writer.put('/picky/nameless/a', valueFor('nameless', 'a'))
  await writer.put('/picky/fits/a', valueFor('fits', 'a').padEnd(65_536))
  await writer.put('/picky/web/a', valueFor('web', 'a'))
  expect(await openRegistry(t, etcd.endpoint, { format: picky }).services()).toEqual(['fits', 'web'])

  await writer.put('/micro/registry/bad/a', '{"name":{"toString":1,"valueOf":1},"nodes":[]}')
  const node = { id: 'a', address: '10.0.0.1:80' }
  await writer.put('/micro/registry/good/a', JSON.stringify({ name: 'good', version: '', nodes: [node] }))
  expect(await openRegistry(t, etcd.endpoint, { format: 'go-micro' }).services()).toEqual(['good'])
})

test('what a format of one’s own gives without decodeInstance is checked, completed and frozen', async t => {
  const writer = openWriter(t, etcd.endpoint)
  const logger = keepLog()
  const format = {
    ...jsonFormat({ namespace: '/unsound' }),
    decode: ({ value }: RawEntry) => JSON.parse(value.toString()) as Decoded,
  }
  const registry = openRegistry(t, etcd.endpoint, { format, logger })
  const { discovery } = await discover(registry, 'web')
  const instance = (more: object) => JSON.stringify({ instance: { id: 'a', host: '::1', port: 80, ...more } })
  const own = openRegistry(t, etcd.endpoint, {
    format: { ...format, decode: entry => Object.freeze(freezeInstance(format.decode(entry))) },
    logger,
  })
  const { discovery: frozen } = await discover(own, 'web')
  const put = async (id: string, value: string) => {
    const revision = await writer.put(`/unsound/web/${id}`, value)
    await Promise.all([discovery, frozen].map(seen => reached(seen, revision)))
  }
  for (const more of [{}, { weight: 7 }]) await put('good', instance(more))
  const [found] = discovery.instances
  expect(found).toMatchObject({
    name: 'web',
    weight: 7,
    endpoints: ['http://[::1]:80'],
    status: 'up',
    metadata: {},
  })
  expect(Object.isFrozen(found)).toBe(true)
  for (const bad of [
    { port: 0 },
    { id: 7 },
    { host: { toString: null } },
    { endpoints: 'x' },
    { status: 'off' },
  ]) {
    for (const weight of [1, 2]) {
      await put('bad', instance({ ...bad, weight }))
      expect(discovery.instances).toEqual([found])
    }
  }
  expect(frozen.instances).toEqual([found])
  for (const value of ['{"instance":null}', '{"instance":7}', '{}', 'null']) {
    await put('bad', value)
  }
  expect(discovery.instances).toEqual([found])
  expect(logger.of('warn'), 'one of each registry').toHaveLength(2)
})

/** As somebody may who knows that instances are frozen. */
function freezeInstance(decoded: Decoded): Decoded {
  if ('instance' in decoded) Object.freeze(decoded.instance)
  return decoded
}
