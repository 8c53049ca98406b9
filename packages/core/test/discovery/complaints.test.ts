import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { InstanceTable } from '../../src/discovery/instance-table.ts'
import type { KeyEvent } from '../../src/etcd/wire/key-value.ts'
import { resolveFormats } from '../../src/formats/index.ts'
import { MovedClock } from '../support/moved-clock.ts'
import { valueFor } from '../support/raw-writer.ts'
import { discover, keepLog, openRegistry, openWriter, reached } from '../support/read-side.ts'

let etcd: EtcdMember

beforeAll(async () => {
  etcd = await startEtcdBinary()
})
afterAll(() => etcd.stop())

/** A table of `web` with a clock that the test moves, and what it logs. */
function tableOf() {
  const clock = new MovedClock()
  const log = keepLog()
  const formats = resolveFormats('json', { default: '/services' })
  const table = new InstanceTable({ name: 'web', formats, clock, logger: log })
  const [{ rows }] = table.ranges as [(typeof table.ranges)[0]]
  let revision = 0
  const apply = (event: { key: string; value?: string }) => {
    revision += 1
    const { key, value } = event
    const row = { key, revision, created: revision, lease: '0' }
    const one: KeyEvent =
      value === undefined
        ? { type: 'delete', key, revision }
        : { type: 'put', ...row, value: Buffer.from(value) }
    rows.apply([one])
  }
  return { clock, log, table, rows, apply }
}

describe('how often a bad value is told of', () => {
  test('2,000 puts and deletes of one bad key are one warning', () => {
    const { log, apply, rows } = tableOf()
    for (let i = 0; i < 2000; i += 1) {
      apply({ key: '/services/web/x', value: `garbage ${i}` })
      apply({ key: '/services/web/x' })
    }
    expect(log.of('warn')).toEqual(['skipped the value at "/services/web/x", no instance: not JSON'])
    expect(rows.status()).toMatchObject({ instances: 0, skipped: 0 })
  })

  test('a key that was good for a minute is told of again, and each time when it is good', () => {
    const { clock, log, apply } = tableOf()
    const good = valueFor('web', 'x')
    for (const [value, wait] of [
      ['garbage', 3_600_000],
      ['garbage', 59_999],
      ['garbage', 60_000],
      ['garbage', 0],
    ] as const) {
      apply({ key: '/services/web/x', value })
      apply({ key: '/services/web/x', value: good })
      clock.advance(wait)
    }
    const pair = [
      'skipped the value at "/services/web/x", no instance: not JSON',
      'the value at "/services/web/x" is an instance now',
    ]
    expect(log.of('warn')).toEqual([...pair, ...pair, ...pair])
  })

  test('a service has 50 lines in a minute, and then one that says how many had none', () => {
    const { clock, log, apply, rows } = tableOf()
    for (let i = 0; i < 2000; i += 1) apply({ key: `/services/web/${i}`, value: 'garbage' })
    expect(log.of('warn')).toHaveLength(50)
    expect(log.of('warn').at(-1)).toBe(
      'skipped 50 values of "web" within a minute; no more lines in it, status() counts all',
    )
    expect(rows.status()).toMatchObject({ skipped: 2000 })
    clock.advance(60_000)
    expect(log.of('warn').slice(50)).toEqual([
      '1951 of the values of "web" that were skipped within a minute had no line',
    ])
    expect(clock.waiting, 'timers').toBe(0)
    apply({ key: '/services/web/next', value: 'garbage' })
    expect(log.of('warn').at(-1)).toContain('/services/web/next')
  })

  test('what is not meant to be an instance has so many lines too, of which none warns', () => {
    const { log, apply } = tableOf()
    for (let i = 0; i < 600; i += 1) apply({ key: `/services/web/sub/${i}`, value: 'x' })
    expect(log.of('warn')).toEqual([])
    expect(log.of('debug')).toHaveLength(50)
    apply({ key: '/services/web/x', value: 'garbage' })
    expect(log.of('warn')).toHaveLength(1)
  })

  test('a table that is closed says at once how many had no line', () => {
    const { clock, log, apply, table } = tableOf()
    for (let i = 0; i < 60; i += 1) apply({ key: `/services/web/${i}`, value: 'garbage' })
    table.close()
    expect(log.of('warn').at(-1)).toMatch(/^11 of the values/)
    expect(clock.waiting, 'timers').toBe(0)
  })

  test('what is told of is bounded, and so is what is remembered', () => {
    const { clock, log, apply } = tableOf()
    for (let i = 0; i < 20_000; i += 1) {
      apply({ key: `/services/web/${i}`, value: 'garbage' })
      apply({ key: `/services/web/${i}` })
      clock.advance(60)
    }
    // 20 minutes, each with 50 lines and its end.
    expect(log.of('warn').length).toBeLessThan(21 * 51)
  })
})

describe('what stands in a line', () => {
  const raw = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u

  test('a long key is cut, and what changes the text around it is escaped, in messages and in fields', () => {
    const { log, apply } = tableOf()
    const harmful = '\u001b[2J\r\n\u007f\u009b\u202e\u2028\u200b"\\'
    apply({ key: `/services/web/${harmful}`, value: 'garbage' })
    apply({ key: `/services/web/${'x'.repeat(600_000)}`, value: 'garbage' })
    apply({ key: `/services/web/${harmful}/more`, value: valueFor('web', 'x') })
    expect(log.lines.map(({ level }) => level)).toEqual(['warn', 'warn', 'debug'])
    for (const { message, fields } of log.lines) {
      for (const text of [message, ...Object.values(fields)]) {
        expect(text).not.toMatch(raw)
        expect(String(text).length).toBeLessThan(400)
      }
    }
    expect(log.of('warn')[0]).toContain('"/services/web/\\u001b[2J\\u000d\\u000a')
  })

  test('a reason that a format of somebody’s own gives is bounded as well', () => {
    const clock = new MovedClock()
    const log = keepLog()
    const [one] = resolveFormats('json', { default: '/services' })
    const decode = () => ({ skip: `\u001b${'x'.repeat(100_000)}` })
    const formats = [{ ...one!, format: { ...one!.format, decode } }]
    const table = new InstanceTable({ name: 'web', formats, clock, logger: log })
    const put = { type: 'put', key: '/services/web/x', revision: 1, created: 1, lease: '0' } as const
    table.ranges[0]!.rows.apply([{ ...put, value: Buffer.from('') }])
    expect(log.of('warn')[0]).toMatch(/no instance: \\u001bx{199}\.\.\.$/)
    expect(log.lines[0]!.fields.reason).toMatch(/^\\u001bx{199}\.\.\.$/)
  })
})

describe('keys that are not UTF-8', () => {
  const latin1 = (text: string) => Buffer.from(text, 'latin1')

  test('are skipped with one warning each, and take nothing from the key that reads alike', async t => {
    const logger = keepLog()
    const registry = openRegistry(t, etcd.endpoint, { namespace: '/bytes', logger })
    const writer = openWriter(t, etcd.endpoint)
    const bad = [latin1('/bytes/web/caf\xe9'), latin1('/bytes/web/\xfe'), latin1('/bytes/web/\xff')]
    const value = valueFor('web', 'n')
    await writer.put('/bytes/web/café', value)
    await writer.write([{ put: bad[0]!, value: valueFor('web', 'other') }])
    const { discovery, witness } = await discover(registry, 'web')
    await writer.write([
      { put: bad[1]!, value },
      { put: bad[2]!, value },
    ])
    await reached(discovery, await writer.write([{ put: bad[0]!, value: valueFor('web', 'again') }]))

    expect(discovery.instances).toMatchObject([{ id: 'n', key: '/bytes/web/café' }])
    expect(registry.status().watches[0]).toMatchObject({ instances: 1, skipped: 3 })
    expect(logger.of('warn')).toEqual([
      'skipped the value at "/bytes/web/caf\\udce9", no instance: its key is not UTF-8',
      'skipped the value at "/bytes/web/\\udcfe", no instance: its key is not UTF-8',
      'skipped the value at "/bytes/web/\\udcff", no instance: its key is not UTF-8',
    ])
    for (const del of bad) await reached(discovery, await writer.write([{ del }]))
    expect(discovery.instances).toHaveLength(1)
    expect(registry.status().watches[0]).toMatchObject({ instances: 1, skipped: 0 })
    expect(witness.differences()).toEqual([])
    expect(registry.status().watches[0]).toMatchObject({ relists: 0, repairs: 0 })
  })

  test('are in the range of a namespace that is not ASCII', async t => {
    const logger = keepLog()
    const registry = openRegistry(t, etcd.endpoint, { namespace: '/größe', logger })
    const writer = openWriter(t, etcd.endpoint)
    const bad = (byte: number) => Buffer.concat([Buffer.from('/größe/web/'), Buffer.from([byte])])
    const value = valueFor('web', 'n')
    await writer.write([{ put: bad(0xe9), value }])
    await writer.put('/größe/web/n', value)
    const { discovery } = await discover(registry, 'web')
    await reached(discovery, await writer.write([{ put: bad(0xff), value }]))
    expect(discovery.instances).toMatchObject([{ id: 'n', key: '/größe/web/n' }])
    expect(registry.status().watches[0]).toMatchObject({ instances: 1, skipped: 2, relists: 0 })
    expect(logger.of('warn').filter(line => !line.startsWith('skipped the value'))).toEqual([])
  })

  test('make no service', async t => {
    const registry = openRegistry(t, etcd.endpoint, { namespace: '/names' })
    const writer = openWriter(t, etcd.endpoint)
    const key = Buffer.concat([Buffer.from('/names/web/'), Buffer.from([0xe9])])
    await writer.write([{ put: key, value: valueFor('web', 'n') }])
    expect(await registry.services()).toEqual([])
  })

  test('U+FFFD in a key is a character as any other', async t => {
    const registry = openRegistry(t, etcd.endpoint, { namespace: '/replaced' })
    const writer = openWriter(t, etcd.endpoint)
    await writer.put('/replaced/web/\ufffd', valueFor('web', 'n'))
    const { discovery } = await discover(registry, 'web')
    expect(discovery.instances).toMatchObject([{ id: 'n', key: '/replaced/web/\ufffd' }])
  })
})
