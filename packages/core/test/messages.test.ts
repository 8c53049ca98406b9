import { Etcd3, type IRangeResponse, type ITxnRequest, type ITxnResponse, type IWatchResponse } from 'etcd3'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type KeyValue, keyValueOf } from '../src/etcd/wire/key-value.ts'
import { InvalidAnswer } from '../src/etcd/wire/message-fields.ts'
import { decodeRange } from '../src/etcd/wire/range-page.ts'
import { decodeTxn } from '../src/etcd/wire/txn-answer.ts'
import { decodeWatch } from '../src/etcd/wire/watch-message.ts'

interface Codec<Response> {
  responseSerialize(response: object): Buffer
  responseDeserialize(message: Buffer): Response
}

/** Those of the client library, which connects to nobody before a call. */
class Client extends Etcd3 {
  codec<Response>(service: 'KV' | 'Watch', method: string): Promise<Codec<Response>> {
    return this.pool.withConnection(
      service,
      ({ client }) => (client as unknown as Record<string, Codec<Response>>)[method]!,
    )
  }
}
const client = new Client({ hosts: '127.0.0.1:1' })
let codec: Codec<IRangeResponse>
let watchCodec: Codec<IWatchResponse>
let txnCodec: Codec<ITxnResponse>
beforeAll(async () => {
  codec = await client.codec('KV', 'range')
  watchCodec = await client.codec('Watch', 'watch')
  txnCodec = await client.codec('KV', 'txn')
})
afterAll(() => client.close())

const bytes = (options: { minLength?: number; maxLength: number }) =>
  fc.uint8Array(options).map(array => Buffer.from(array))
const whole = fc.oneof(fc.nat(), fc.maxSafeNat()).map(String)
const leases = fc.bigInt({ min: 0n, max: 2n ** 63n - 1n }).map(String)
const kvs = fc.record({
  key: fc.oneof(
    bytes({ minLength: 1, maxLength: 40 }),
    fc.string({ minLength: 1, unit: 'grapheme' }).map(text => Buffer.from(text)),
  ),
  value: bytes({ maxLength: 300 }),
  create_revision: whole,
  mod_revision: whole,
  version: whole,
  lease: fc.oneof(fc.constant('0'), leases),
})
const header = fc.record({ cluster_id: leases, member_id: leases, revision: whole, raft_term: whole })
const responses = fc.record({
  header,
  kvs: fc.array(kvs, { maxLength: 12 }),
  more: fc.boolean(),
  count: whole,
})

const watchResponses = fc.record({
  header,
  watch_id: fc.oneof(fc.nat().map(String), fc.constant('-1')),
  created: fc.boolean(),
  canceled: fc.boolean(),
  compact_revision: whole,
  cancel_reason: fc.string({ unit: 'grapheme' }),
  fragment: fc.boolean(),
  events: fc.array(
    fc.record({
      type: fc.constantFrom('PUT', 'DELETE'),
      kv: kvs,
      prev_kv: fc.option(kvs, { nil: undefined }),
    }),
    { maxLength: 12 },
  ),
})

const allOf = ({ key, value, revision, created, lease }: KeyValue) => ({
  key,
  value,
  revision,
  created,
  lease,
})

/** All that is read of an answer. */
function readAll(message: Buffer) {
  const { revision, count, length, next, ...page } = decodeRange(message)
  const entries = Array.from({ length }, (_, i) => decodeRange(message).at(i))
  return {
    ...{ revision, count, next, bytes: page.bytes },
    entries: entries.map(allOf),
  }
}

test('an answer to a read says the same as to the decoder of the client library', () => {
  fc.assert(
    fc.property(responses, response => {
      const message = codec.responseSerialize(response)
      const known = codec.responseDeserialize(message)
      const read = readAll(message)
      expect(read.entries).toEqual(known.kvs.map(keyValueOf))
      expect(read.revision).toBe(Number(known.header.revision))
      expect(read.count).toBe(Number(known.count))
      const last = known.more ? known.kvs.at(-1) : undefined
      expect(read.next).toEqual(last && Buffer.concat([last.key, Buffer.from([0])]))
    }),
    { numRuns: 500 },
  )
})

/** All that is read of a message of a watch; of a deleted key there is no more than its name and when. */
function readAllOfWatch(message: Buffer) {
  const { events, ...read } = decodeWatch(message)
  return {
    ...read,
    events: events.map(event =>
      event.type === 'put'
        ? { type: event.type, ...allOf(event) }
        : { type: event.type, key: event.key, revision: event.revision },
    ),
  }
}

test('a message of a watch says the same as to the decoder of the client library', () => {
  fc.assert(
    fc.property(watchResponses, response => {
      const message = watchCodec.responseSerialize(response)
      const known = watchCodec.responseDeserialize(message)
      const { watchId, ...read } = readAllOfWatch(message)
      if (known.watch_id === '-1') expect(watchId).toBeGreaterThan(Number.MAX_SAFE_INTEGER)
      else expect(watchId).toBe(Number(known.watch_id))
      expect(read).toEqual({
        revision: Number(known.header.revision),
        created: known.created,
        canceled: known.canceled,
        compactRevision: Number(known.compact_revision),
        cancelReason: known.cancel_reason,
        events: known.events.map(({ type, kv }) => {
          const { key, revision, ...rest } = keyValueOf(kv)
          return String(type) === 'Put'
            ? { type: 'put', key, revision, ...rest }
            : { type: 'delete', key, revision }
        }),
      })
    }),
    { numRuns: 500 },
  )
})

/** A request of reads of these keys, and puts of them where it succeeds. */
const requestOf = (keys: readonly Buffer[]): ITxnRequest => ({
  compare: [],
  success: keys.map(key => ({ request_put: { key, value: Buffer.from('v') } })) as never,
  failure: keys.map(key => ({ request_range: { key } })) as never,
})

const txnResponses = fc.record({ header, succeeded: fc.boolean(), kvs: fc.array(kvs, { maxLength: 8 }) })

test('an answer to a transaction says the same as to the decoder of the client library', () => {
  fc.assert(
    fc.property(txnResponses, fc.array(fc.boolean()), ({ header, succeeded, kvs }, absent) => {
      const row = (kv: object, i: number) => (absent[i] ? [] : [{ ...kv, mod_revision: '1' }])
      const responses = kvs.map((kv, i) =>
        succeeded
          ? { response_put: { header } }
          : { response_range: { header, kvs: row(kv, i), count: '1' } },
      )
      const real = { ...header, revision: String(Math.max(1, Number(header.revision))) }
      const message = txnCodec.responseSerialize({ header: real, succeeded, responses })
      const known = txnCodec.responseDeserialize(message)
      const answer = decodeTxn(message, requestOf(kvs.map(({ key }) => key)))
      expect(answer.revision).toBe(Number(known.header.revision))
      expect(answer.succeeded).toBe(known.succeeded)
      const rows = known.responses.map(({ response_range }) => response_range?.kvs[0])
      expect(answer.found).toEqual(rows.map(kv => kv && keyValueOf(kv)))
    }),
    { numRuns: 500 },
  )
})

test('an answer to a transaction that does not fit the request is an invalid one', () => {
  const keys = ['a', 'b'].map(key => Buffer.from(key))
  const header = { revision: '9' }
  const read = (...found: object[]) => ({ response_range: { kvs: found } })
  const row = (key: string, mod_revision = '3') => ({ key: Buffer.from(key), mod_revision })
  const answer = (response: object) =>
    decodeTxn(txnCodec.responseSerialize({ header, ...response }), requestOf(keys))
  const wrong: [object, RegExp][] = [
    [{ responses: [read()] }, /1 responses to 2 operations/],
    [{ responses: [read(), read(), read()] }, /more than 2 responses to 2 operations/],
    [{ responses: [read(row('b')), read()] }, /another key than was asked for/],
    [{ responses: [read(row('a'), row('a')), read()] }, /several rows of one key/],
    [{ responses: [read(row('a', '10')), read()] }, /a row has revision 10, etcd 9/],
    [{ responses: [read(row('a', '0')), read()] }, /a row has revision 0, etcd 9/],
    [
      { succeeded: true, responses: [read(row('a')), { response_put: {} }] },
      /another key than was asked for/,
    ],
    [{ header: {}, responses: [read(), read()] }, /revision 0/],
  ]
  for (const [response, message] of wrong) {
    expect(() => answer(response)).toThrow(InvalidAnswer)
    expect(() => answer(response)).toThrow(message)
  }
  expect(answer({ responses: [read(row('a')), read()] }).found).toMatchObject([{ key: 'a' }, undefined])
})

test('fields that a later etcd may add are skipped, wherever they are', () => {
  /** One of each wire type, number 900. */
  const tag = (type: number) => [0xa0 | type, 0x38]
  const added = [
    ...[...tag(0), 0xff, 0xff, 0x03],
    ...[...tag(1), 1, 2, 3, 4, 5, 6, 7, 8],
    ...[...tag(2), 3, 0xff, 0xff, 0xff],
    ...[...tag(5), 1, 2, 3, 4],
  ]
  const part = (field: number, content: number[]) => [(field << 3) | 2, content.length, ...content]
  const kv = [...added, ...part(1, [0x61]), ...added, 0x18, 7, ...part(5, [0x62]), ...added]
  const header = [...added, 0x18, 9, ...added]
  const message = [...added, ...part(1, header), ...part(2, kv), ...added, 0x20, 1, ...added]
  expect(readAll(Buffer.from(message))).toMatchObject({
    ...{ revision: 9, count: 1, next: undefined },
    entries: [{ key: 'a', value: Buffer.from('b'), revision: 7, created: 0, lease: '0' }],
  })
})

test('so they are in a message of a watch', () => {
  const added = [0xa0, 0x38, 0xff, 0xff, 0x03, 0xa2, 0x38, 3, 0xff, 0xff, 0xff]
  const part = (field: number, content: number[]) => [(field << 3) | 2, content.length, ...content]
  const kv = [...added, ...part(1, [0x61]), ...added, 0x18, 7, ...part(5, [0x62]), ...added]
  const put = [...added, ...part(2, kv), ...added]
  const message = [
    ...added,
    ...part(1, [0x18, 9]),
    0x10,
    5,
    ...part(11, put),
    ...added,
    ...part(11, [8, 1, ...part(2, part(1, [0x63]))]),
  ]
  expect(readAllOfWatch(Buffer.from(message))).toMatchObject({
    ...{ revision: 9, watchId: 5, created: false, canceled: false },
    events: [
      { type: 'put', key: 'a', value: Buffer.from('b'), revision: 7, created: 0, lease: '0' },
      { type: 'delete', key: 'c', revision: 0 },
    ],
  })
})

test.for([
  ['an answer to a read', responses, () => codec, (message: Buffer) => readAll(message).entries],
  [
    'a message of a watch',
    watchResponses,
    () => watchCodec,
    (message: Buffer) => readAllOfWatch(message).events,
  ],
] as const)(
  '%s that broke off is an invalid one, and nothing in it is made up',
  ([, some, codec, rowsOf]) => {
    fc.assert(
      fc.property<[object, number]>(some, fc.nat(), (response, where) => {
        const message = codec().responseSerialize(response)
        const cut = message.subarray(0, where % (message.length + 1))
        try {
          const rows = rowsOf(cut)
          expect(rows).toEqual(rowsOf(message).slice(0, rows.length))
        } catch (error) {
          expect(error).toBeInstanceOf(InvalidAnswer)
        }
      }),
    )
  },
)

test('whatever is wrong with an answer is found', () => {
  const broken = [
    [0x12], // a key and value without a length
    [0x12, 5, 0x0a, 1, 0x61], // that ends after the message
    [0x12, 3, 0x0a, 9, 0x61], // whose key ends after it
    [0x20, ...Array(11).fill(0x80)], // a number without an end
    [0x23], // a wire type that there is not
  ]
  for (const message of broken)
    expect(() => readAll(Buffer.from(message)), `${message}`).toThrow(/is broken at byte/)
})

const RANGE_ROW = 2
const WATCH_EVENT = 11
const field = (id: number, ...content: number[]) => [(id << 3) | 2, content.length, ...content]

test.for([
  ['a key as an integer', [0x08, 1]],
  ['a revision as bytes', [...field(1, 0x61), ...field(3, 7)]],
  ['a lease as bytes', [...field(1, 0x61), ...field(6, ...Array(100).fill(0x80))]],
  ['a value as an integer', [...field(1, 0x61), 0x28, 1]],
  ['no key', [0x18, 7]],
  ['revision 2^62', [...field(1, 0x61), 0x18, ...Array(8).fill(0x80), 0x40]],
] as const)('%s is no row', ([, row]) => {
  expect(() => readAll(Buffer.from(field(RANGE_ROW, ...row)))).toThrow(InvalidAnswer)
  const event = field(WATCH_EVENT, ...field(2, ...row))
  expect(() => readAllOfWatch(Buffer.from(event))).toThrow(InvalidAnswer)
})

test('of 30 MB of empty events or rows none is made an object', () => {
  const many = (id: number) => Buffer.alloc(30_000_000, Buffer.from(field(id)))
  expect(() => decodeWatch(many(WATCH_EVENT))).toThrow('a row has no key')
  expect(() => decodeRange(many(RANGE_ROW), undefined, 1000)).toThrow('more than 1000 rows')
})

test('of a text in a watch message no more is read than can be shown', () => {
  const message = Buffer.concat([Buffer.from([0x32, 0x80, 0x89, 0x7a]), Buffer.alloc(2_000_000, 0x20)])
  expect(decodeWatch(message).cancelReason).toHaveLength(2000)
})
