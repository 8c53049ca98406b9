import { EtcdRegisterError } from '../errors.ts'

/** Goes through the fields of a protobuf message: https://protobuf.dev/programming-guides/encoding/ */
export class Fields {
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
  return new EtcdRegisterError('ERR_ETCD_UNAVAILABLE', `An answer is broken at byte ${at}.`)
}

/** Of the header that each answer of etcd has. */
export function revisionIn(message: Buffer, from: number, to: number): number {
  const header = new Fields(message, from, to)
  let revision = 0
  while (header.next()) if (header.id === 3) revision = header.number
  return revision
}
