import { once } from 'node:events'
import { connect } from 'node:net'
import { connect as connectTls } from 'node:tls'
import { expect, onTestFinished } from 'vitest'
import { conform, type Subject, since } from './conform.ts'

const DATA = 0
const HEADERS = 1
const RST_STREAM = 3
const SETTINGS = 4
const GOAWAY = 7

const END_STREAM = 1
const END_HEADERS = 4

function frame(type: number, flags: number, stream: number, payload: Buffer = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head[3] = type
  head[4] = flags
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

const text = (value: string) => Buffer.from([value.length, ...Buffer.from(value)])

/** A header whose name is spelled out. */
const header = (name: string, value: string) => Buffer.concat([Buffer.from([0]), text(name), text(value)])

/** A range request for the key `a`. `authority` is a header as it is on the wire. */
function rangeCall(stream: number, authority: Buffer): Buffer {
  const headers = Buffer.concat([
    header(':method', 'POST'),
    header(':scheme', 'http'),
    header(':path', '/etcdserverpb.KV/Range'),
    authority,
    header('content-type', 'application/grpc'),
    header('te', 'trailers'),
  ])
  const message = Buffer.from([0, 0, 0, 0, 3, 0x0a, 1, 0x61])
  return Buffer.concat([
    frame(HEADERS, END_HEADERS, stream, headers),
    frame(DATA, END_STREAM, stream, message),
  ])
}

/** Sends it all at once; what comes back for each stream: `answered` or `refused`. */
async function exchange({ port, tls }: Subject, calls: Buffer[]): Promise<Record<number, string>> {
  const address = { port, host: '127.0.0.1', servername: 'localhost' }
  const socket = tls ? connectTls({ ...address, ...tls, ALPNProtocols: ['h2'] }) : connect(address)
  onTestFinished(() => {
    socket.destroy()
  })
  await once(socket, tls ? 'secureConnect' : 'connect')
  const preface = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n')
  socket.write(Buffer.concat([preface, frame(SETTINGS, 0, 0), ...calls]))
  const results: Record<number, string> = {}
  const wanted = calls.filter(bytes => bytes[3] === HEADERS).length
  let bytes = Buffer.alloc(0)
  for await (const chunk of socket) {
    bytes = Buffer.concat([bytes, chunk])
    while (bytes.length >= 9 && bytes.length >= 9 + bytes.readUIntBE(0, 3)) {
      const [type, stream] = [bytes[3], bytes.readUInt32BE(5)]
      bytes = bytes.subarray(9 + bytes.readUIntBE(0, 3))
      if (type === DATA) results[stream] = 'answered'
      if (type === RST_STREAM) results[stream] ??= 'refused'
    }
    if (Object.keys(results).length === wanted) break
  }
  return results
}

const secured = [
  ['', {}],
  [' over TLS', { tls: true }],
  [' with a client certificate', { tls: { clientCerts: true } }],
] as const

for (const [name, options] of secured) {
  conform(
    `Connection${name}`,
    (test, etcd) => {
      const plain = (authority: string) => Buffer.concat([Buffer.from([0x01]), text(authority)])

      // Without TLS etcd serves by gRPC's HTTP/2, which takes them; with TLS by that of Go, which does not.
      const answersLate = name === ''

      test(`a call that follows the GOAWAY of its client is ${answersLate ? 'answered' : 'dropped'}`, async () => {
        const goaway = frame(GOAWAY, 0, 0, Buffer.alloc(8))
        const calls = [rangeCall(1, plain('localhost')), goaway, rangeCall(3, plain('localhost'))]
        const expected = answersLate ? { 1: 'answered', 3: 'answered' } : { 1: 'answered' }
        expect(await exchange(etcd, calls)).toEqual(expected)
        const first = answersLate ? { 1: 'answered' } : {}
        expect(await exchange(etcd, [goaway, rangeCall(1, plain('localhost'))])).toEqual(first)
      })

      const takesSlashes = name === '' || !since('3.5') || since('3.7')
      const outcome = takesSlashes ? 'answered' : 'refused'

      test(`an authority with slashes is ${outcome}`, async () => {
        expect(await exchange(etcd, [rangeCall(1, plain('http://127.0.0.1:2379'))])).toEqual({
          1: outcome,
        })
      })

      test(`an authority with slashes is ${outcome} as Go sends it, packed, and once more by its number`, async () => {
        const packed = Buffer.from('41909d29aee30c044eae05c0b86e32e34f07', 'hex') // http://127.0.0.1:36481
        const again = Buffer.from([0xbe])
        const calls = [rangeCall(1, packed), rangeCall(3, again)]
        expect(await exchange(etcd, calls)).toEqual({ 1: outcome, 3: outcome })
      })
    },
    options,
  )
}

conform('Requests', (test, etcd) => {
  test('an RPC that is none is refused by its name', async () => {
    const call = etcd.feed('RangeStream', { key: 'a' })
    const answers = await call.until(({ code }) => code !== undefined)
    if (answers.length > 1) return // 3.7 has it
    expect(answers[0]).toMatchObject({
      code: 12,
      details: 'unknown method RangeStream for service etcdserverpb.KV',
    })
  })

  test('a message of more than 2 MiB is refused, and its size is told', async () => {
    const error = await etcd.put('huge', 'x'.repeat(3 * 1024 * 1024)).catch(error => error)
    expect(error).toMatchObject({ code: 8 })
    expect(error.details).toMatch(/^grpc: received message larger than max \(31\d{5} vs\. 2097152\)$/)
  })
})
