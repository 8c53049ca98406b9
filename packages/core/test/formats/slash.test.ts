import type { FormatName } from '@etcd-register/core'
import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { FORMATS } from '../../src/formats/index.ts'
import { discover, keepLog, openRegistry, openWriter, reached } from '../support/read-side.ts'
import { orders } from '../support/write-side.ts'

let etcd: EtcdMember

beforeAll(async () => {
  etcd = await startEtcdBinary()
})
afterAll(() => etcd.stop())

const readable = Object.values(FORMATS).filter(({ capabilities }) => capabilities.read)

describe.each(readable.map(({ name }) => name as FormatName))('%s', format => {
  test('a key with a slash after the id is no instance of the service, and no warning', async t => {
    const logger = keepLog()
    const namespace = `${format}-slashes`
    const registry = openRegistry(t, etcd.endpoint, { namespace, format, logger })
    const writer = openWriter(t, etcd.endpoint)
    const registration = registry.register(orders({ name: 'web' }))
    await registration.ready()
    const { key } = registration.instance
    const value = await etcd.etcdctl('get', '--print-value-only', key)
    const root = key.slice(0, key.indexOf('web/'))
    await writer.put(`${root}web/x/1`, value.trim())
    await writer.put(`${root}deep/x/1`, value.trim())
    const { discovery } = await discover(registry, 'web')
    await reached(discovery, await writer.put(`${root}web/x/y/2`, value.trim()))

    expect(discovery.instances.map(({ key }) => key)).toEqual([key])
    expect(await registry.services()).toEqual(['web'])
    expect(registry.status().watches[0]).toMatchObject({ instances: 1, skipped: 0 })
    expect(logger.of('warn')).toEqual([])
    expect(logger.of('debug').filter(line => line.includes('web/x/'))).toHaveLength(2)
  })
})
