import { expect } from 'vitest'
import type { Answer } from '../support/etcd-client.ts'
import { conform, endOf } from './conform.ts'

/** The names of the fields that were sent, with those within. */
function fieldsOf(answer: Answer): Answer {
  if (Array.isArray(answer)) return answer.map(fieldsOf)
  if (typeof answer !== 'object' || Buffer.isBuffer(answer)) return true
  return Object.fromEntries(Object.entries(answer).map(([name, value]) => [name, fieldsOf(value)]))
}

const header = { cluster_id: true, member_id: true, revision: true, raft_term: true }
/** Of an answer within a transaction. */
const inner = { header: { revision: true } }
const kv = { key: true, create_revision: true, mod_revision: true, version: true }

conform('On the wire', (test, etcd) => {
  const fields = async (rpc: string, request: object) => fieldsOf(await etcd.callBare(rpc, request))
  const all = () => ({ key: etcd.key(''), range_end: endOf(etcd.key('')) })

  test('a range sends neither a count of 0, nor that there is no more, nor what is empty', async () => {
    expect(await fields('Range', all())).toEqual({ header })
    await etcd.put('a')
    expect(await fields('Range', all())).toEqual({ header, kvs: [kv], count: true })
    expect(await fields('Range', { ...all(), count_only: true })).toEqual({ header, count: true })
    await etcd.put('b', 'x')
    const some = await fields('Range', { ...all(), limit: 1 })
    expect(some).toEqual({ header, kvs: [kv], more: true, count: true })
    const request = { key: etcd.key('b') }
    expect(await fields('Range', request)).toEqual({ header, kvs: [{ ...kv, value: true }], count: true })
    expect(await fields('Range', { ...request, keys_only: true })).toEqual({ header, kvs: [kv], count: true })
  })

  test('a put sends what was there before only where there was something', async () => {
    const put = (value: string, prev_kv: boolean) => fields('Put', { key: etcd.key('a'), value, prev_kv })
    expect(await put('', true)).toEqual({ header })
    expect(await put('x', false)).toEqual({ header })
    expect(await put('x', true)).toEqual({ header, prev_kv: { ...kv, value: true } })
  })

  test('a delete of nothing sends no number', async () => {
    expect(await fields('DeleteRange', all())).toEqual({ header })
    await etcd.put('a')
    expect(await fields('DeleteRange', { ...all(), prev_kv: true })).toEqual({
      ...{ header, deleted: true, prev_kvs: [kv] },
    })
  })

  test('a transaction that did not succeed does not say so, and one within sends an empty header', async () => {
    const compare = [{ key: etcd.key('a'), target: 'Version', result: 'Greater', version: 0 }]
    const request_range = { key: etcd.key('a') }
    const request_delete_range = { key: etcd.key('b') }
    const request_put = { key: etcd.key('a'), value: '' }
    expect(await fields('Txn', { compare })).toEqual({ header })
    const success = [
      ...[{ request_range }, { request_delete_range }, { request_put }],
      { request_txn: { compare, failure: [{ request_range }] } },
    ]
    expect(await fields('Txn', { success })).toEqual({
      header,
      succeeded: true,
      responses: [
        { response_range: inner },
        { response_delete_range: inner },
        { response_put: inner },
        {
          response_txn: { header: {}, responses: [{ response_range: { ...inner, kvs: [kv], count: true } }] },
        },
      ],
    })
  })

  test('a lease sends its id and its time, and only keys that it has', async () => {
    const ID = '4711'
    expect(await fields('LeaseGrant', { ID, TTL: 60 })).toEqual({ header, ID: true, TTL: true })
    const left = { header, ID: true, TTL: true, grantedTTL: true }
    expect(await fields('LeaseTimeToLive', { ID, keys: true })).toEqual(left)
    await etcd.put('a', '', { lease: ID })
    expect(await fields('LeaseTimeToLive', { ID, keys: true })).toEqual({ ...left, keys: [true] })
    expect(await fields('LeaseTimeToLive', { ID: 1 })).toEqual({ header, ID: true, TTL: true })
    expect(await fields('Range', all())).toEqual({ header, kvs: [{ ...kv, lease: true }], count: true })
    await etcd.call('LeaseRevoke', { ID })
  })
})
