import { expect } from 'vitest'
import type { Answer } from '../support/etcd-client.ts'
import { conform, endOf, keysOf, refusal } from './conform.ts'

const pair = ({ key, value, version, lease }: Answer) => ({
  key: String(key).slice(5),
  value: String(value),
  version,
  lease,
})

conform('Put', (test, etcd) => {
  const read = async (key: string) => (await etcd.range({ key: etcd.key(key), range_end: undefined })).kvs[0]

  test('a put makes a revision, and the key remembers where it was created and changed', async () => {
    const before = await etcd.revision()
    const { header } = await etcd.put('a', '1')
    await etcd.put('b')
    await etcd.put('a', '2')
    expect(Number(header.revision)).toBe(before + 1)
    expect(await read('a')).toMatchObject({
      create_revision: String(before + 1),
      mod_revision: String(before + 3),
      version: '2',
      value: Buffer.from('2'),
      lease: '0',
    })
  })

  test('a put of an equal value is a revision too', async () => {
    await etcd.put('a', '1')
    const before = await etcd.revision()
    await etcd.put('a', '1')
    expect(await etcd.revision()).toBe(before + 1)
    expect((await read('a')).version).toBe('2')
  })

  test('a deleted key starts anew', async () => {
    await etcd.put('a')
    await etcd.put('a')
    await etcd.call('DeleteRange', { key: etcd.key('a') })
    const { header } = await etcd.put('a')
    expect(await read('a')).toMatchObject({ version: '1', create_revision: header.revision })
  })

  test('prev_kv gives what was there before', async () => {
    expect((await etcd.put('a', '1', { prev_kv: true })).prev_kv).toBeNull()
    const { prev_kv } = await etcd.put('a', '2', { prev_kv: true })
    expect(pair(prev_kv)).toEqual({ key: 'a', value: '1', version: '1', lease: '0' })
    expect((await etcd.put('a', '3')).prev_kv).toBeNull()
  })

  test('an empty value is a value', async () => {
    await etcd.put('a', '')
    expect((await read('a')).value).toHaveLength(0)
  })

  test('values and keys of any bytes come back as they were', async () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, index) => index))
    const key = Buffer.concat([Buffer.from(etcd.key('')), bytes])
    await etcd.call('Put', { key, value: bytes })
    const { kvs } = await etcd.call('Range', { key })
    expect(kvs[0]).toMatchObject({ key, value: bytes })
  })

  test('ignore_value keeps the value', async () => {
    await etcd.put('a', 'kept')
    await etcd.put('a', '', { ignore_value: true })
    expect(pair(await read('a'))).toMatchObject({ value: 'kept', version: '2' })
  })

  test('ignore_value with a value, or without a key, is refused', async () => {
    await expect(etcd.put('a', 'x', { ignore_value: true })).rejects.toMatchObject(
      refusal(3, 'value is provided'),
    )
    await expect(etcd.put('a', '', { ignore_value: true })).rejects.toMatchObject(refusal(3, 'key not found'))
  })

  test('ignore_lease keeps the lease', async () => {
    const { ID } = await etcd.call('LeaseGrant', { TTL: 60 })
    await etcd.put('a', '1', { lease: ID })
    await etcd.put('a', '2', { ignore_lease: true })
    expect(pair(await read('a'))).toEqual({ key: 'a', value: '2', version: '2', lease: ID })
  })

  test('ignore_lease with a lease, or without a key, is refused', async () => {
    const { ID } = await etcd.call('LeaseGrant', { TTL: 60 })
    await expect(etcd.put('a', '', { ignore_lease: true, lease: ID })).rejects.toMatchObject(
      refusal(3, 'lease is provided'),
    )
    await expect(etcd.put('a', '', { ignore_lease: true })).rejects.toMatchObject(refusal(3, 'key not found'))
  })

  test('a lease that is not there is refused, and nothing is written', async () => {
    const before = await etcd.revision()
    const refused = refusal(5, 'requested lease not found')
    await expect(etcd.put('a', '', { lease: 12345 })).rejects.toMatchObject(refused)
    expect(await etcd.revision()).toBe(before)
  })

  test('of a lease and a key that are both not there, the lease is told of', async () => {
    await expect(etcd.put('a', '', { lease: 99, ignore_value: true })).rejects.toMatchObject(
      refusal(5, 'requested lease not found'),
    )
  })

  test('an empty key is refused', async () => {
    await expect(etcd.call('Put', { value: 'x' })).rejects.toMatchObject(refusal(3, 'key is not provided'))
  })

  test('a value just below the limit of 1.5 MiB is taken, one above it is refused', async () => {
    const limit = 1.5 * 1024 * 1024
    await etcd.put('large', 'x'.repeat(limit - 100))
    const refused = refusal(3, 'request is too large')
    await expect(etcd.put('large', 'x'.repeat(limit))).rejects.toMatchObject(refused)
  })

  test('a message far above the limit is refused by gRPC', async () => {
    const error = await etcd.put('huge', 'x'.repeat(3 * 1024 * 1024)).catch(error => error)
    expect(error.code).toBe(8)
    expect(error.details).toMatch(/received message larger than max/i)
  })
})

conform('DeleteRange', (test, etcd) => {
  const del = (more: object) => etcd.call('DeleteRange', more)

  test('one key is deleted, and counted', async () => {
    await etcd.put('a')
    await etcd.put('ab')
    const before = await etcd.revision()
    const { deleted, header, prev_kvs } = await del({ key: etcd.key('a') })
    expect({ deleted, prev_kvs, revision: Number(header.revision) }).toEqual({
      ...{ deleted: '1', prev_kvs: [], revision: before + 1 },
    })
    expect(keysOf(await etcd.range())).toEqual(['ab'])
  })

  test('a delete of nothing makes no revision', async () => {
    const before = await etcd.revision()
    const { deleted, header } = await del({ key: etcd.key('none') })
    expect({ deleted, revision: Number(header.revision) }).toEqual({ deleted: '0', revision: before })
    expect(await etcd.revision()).toBe(before)
  })

  test('a range is deleted in one revision', async () => {
    for (const key of ['a', 'b', 'c', 'd']) await etcd.put(key)
    const before = await etcd.revision()
    const { deleted } = await del({ key: etcd.key('b'), range_end: etcd.key('d') })
    expect({ deleted, revision: await etcd.revision() }).toEqual({ deleted: '2', revision: before + 1 })
    expect(keysOf(await etcd.range())).toEqual(['a', 'd'])
  })

  test('prev_kv gives what was deleted, in order', async () => {
    await etcd.put('b', '2')
    await etcd.put('a', '1')
    const range = { key: etcd.key(''), range_end: endOf(etcd.key('')) }
    const { prev_kvs } = await del({ ...range, prev_kv: true })
    expect(prev_kvs.map(pair)).toEqual([
      { key: 'a', value: '1', version: '1', lease: '0' },
      { key: 'b', value: '2', version: '1', lease: '0' },
    ])
  })

  test('an end that is sent but empty is none, unlike that of a range request', async () => {
    await etcd.put('a')
    await etcd.put('b')
    expect((await del({ key: etcd.key('a'), range_end: '' })).deleted).toBe('1')
  })

  test('an end of one zero byte deletes all that follow', async () => {
    await etcd.put('a')
    await etcd.put('b')
    await del({ key: etcd.key('b'), range_end: '\0' })
    expect(keysOf(await etcd.range())).toEqual(['a'])
  })

  test('an empty key is refused', async () => {
    await expect(del({})).rejects.toMatchObject(refusal(3, 'key is not provided'))
  })

  test('thousands of keys go at once', async () => {
    for (let at = 0; at < 2000; at += 100) {
      const success = Array.from({ length: 100 }, (_, index) => ({
        request_put: { key: etcd.key(String(at + index)), value: '' },
      }))
      await etcd.call('Txn', { success })
    }
    const { deleted } = await del({ key: etcd.key(''), range_end: endOf(etcd.key('')) })
    expect(deleted).toBe('2000')
    expect((await etcd.range({ count_only: true })).count).toBe('0')
  })
})
