import { EtcdRegisterError } from '../errors.ts'
import { type KeyValue, textOf } from './key-value.ts'

/** Keys and values of a range, as far as one answer goes: etcd's RangeResponse. */
export interface RangePage {
  /** etcd's revision when it answered. */
  readonly revision: number
  /** Keys in the whole range. */
  readonly count: number
  /** Where the next page begins, if there is one. */
  readonly next: Buffer | undefined
  /** Keys in this page. */
  readonly length: number
  /** Size of the answer. */
  readonly bytes: number
  /** Read only now, so that it can be gone before the next one. */
  at(index: number): KeyValue
}

/**
 * Reads a RangeResponse. etcd3's decoder makes objects of all that is in it, which takes longer than to make instances of
 * them. Throws `ERR_ETCD_UNAVAILABLE` where the message is broken; so does `at()`.
 */
export function decodeRange(message: Buffer): RangePage {
  const page = new Page(message)
  const fields = new Fields(message, 0, message.length)
  while (fields.next()) {
    if (fields.id === 1) page.revision = revisionIn(new Fields(message, fields.from, fields.to))
    else if (fields.id === 2) page.rows.push(fields.from, fields.to)
    else if (fields.id === 3) page.more = fields.number > 0
    else if (fields.id === 4) page.count = fields.number
  }
  return page
}

function revisionIn(header: Fields): number {
  let revision = 0
  while (header.next()) if (header.id === 3) revision = header.number
  return revision
}

class Page implements RangePage {
  readonly #message: Buffer
  /** Where each key and value begins, and where it ends. */
  readonly rows: number[] = []
  revision = 0
  count = 0
  more = false

  constructor(message: Buffer) {
    this.#message = message
  }

  get next(): Buffer | undefined {
    return this.more && this.length > 0 ? this.#row(this.length - 1).keyAfter : undefined
  }

  get length(): number {
    return this.rows.length / 2
  }

  get bytes(): number {
    return this.#message.length
  }

  at(index: number): KeyValue {
    return this.#row(index)
  }

  #row(index: number): Row {
    return new Row(this.#message, this.rows[2 * index]!, this.rows[2 * index + 1]!)
  }
}

/** Keeps the whole message alive, so nobody keeps it. */
class Row implements KeyValue {
  readonly #message: Buffer
  readonly key: string
  readonly revision: number
  readonly created: number
  readonly #keyFrom: number
  readonly #keyTo: number
  readonly #valueFrom: number
  readonly #valueTo: number
  /** `undefined`: it has none. */
  readonly #leaseFrom: number | undefined

  constructor(message: Buffer, from: number, to: number) {
    const fields = new Fields(message, from, to)
    let [keyFrom, keyTo, valueFrom, valueTo, created, revision] = [0, 0, 0, 0, 0, 0]
    let leaseFrom: number | undefined
    while (fields.next()) {
      if (fields.id === 1) [keyFrom, keyTo] = [fields.from, fields.to]
      else if (fields.id === 2) created = fields.number
      else if (fields.id === 3) revision = fields.number
      else if (fields.id === 5) [valueFrom, valueTo] = [fields.from, fields.to]
      else if (fields.id === 6) leaseFrom = fields.from
    }
    this.#message = message
    this.key = textOf(message, keyFrom, keyTo)
    this.revision = revision
    this.created = created
    this.#keyFrom = keyFrom
    this.#keyTo = keyTo
    this.#valueFrom = valueFrom
    this.#valueTo = valueTo
    this.#leaseFrom = leaseFrom
  }

  /** None comes between the two. */
  get keyAfter(): Buffer {
    return Buffer.concat([this.#message.subarray(this.#keyFrom, this.#keyTo), Buffer.from([0])])
  }

  get value(): Buffer {
    return this.#message.subarray(this.#valueFrom, this.#valueTo)
  }

  get lease(): string {
    if (this.#leaseFrom === undefined) return '0'
    let id = 0n
    for (let at = this.#leaseFrom, shift = 0n, byte = 0x80; byte >= 0x80; at += 1, shift += 7n) {
      byte = this.#message[at]!
      id |= BigInt(byte & 0x7f) << shift
    }
    return String(BigInt.asIntN(64, id))
  }
}

/** Goes through the fields of a protobuf message: https://protobuf.dev/programming-guides/encoding/ */
class Fields {
  readonly #message: Buffer
  readonly #end: number
  id = 0
  /** Of an integer, exact up to 2^53; else 0. */
  number = 0
  /** Where it begins, without its length. */
  from: number
  /** Where it ends, and the next one begins. */
  to: number

  constructor(message: Buffer, from: number, to: number) {
    this.#message = message
    this.from = from
    this.to = from
    this.#end = to
  }

  /** `false` where there is no more. */
  next(): boolean {
    if (this.to === this.#end) return false
    const tag = this.#varint()
    this.id = Math.floor(tag / 8)
    const type = tag % 8
    const number = type === 0 || type === 2 ? this.#varint() : 0
    if (type === 0) {
      this.number = number
      return true
    }
    this.number = 0
    this.from = this.to
    this.to += type === 1 ? 8 : type === 2 ? number : type === 5 ? 4 : Number.NaN
    if (this.to <= this.#end) return true
    throw broken(this.from)
  }

  #varint(): number {
    this.from = this.to
    let number = 0
    for (let scale = 1; this.to < this.#end && this.to < this.from + 10; scale *= 0x80) {
      const byte = this.#message[this.to]!
      this.to += 1
      number += (byte & 0x7f) * scale
      if (byte < 0x80) return number
    }
    throw broken(this.from)
  }
}

function broken(at: number): EtcdRegisterError {
  return new EtcdRegisterError('ERR_ETCD_UNAVAILABLE', `The answer to a read is broken at byte ${at}.`)
}
