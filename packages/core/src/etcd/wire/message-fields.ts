/** An answer that no etcd gives. The text is recognised where gRPC puts it into an error of its own. */
export class InvalidAnswer extends Error {
  constructor(why: string) {
    super(`invalid answer: ${why}`)
  }
}

/** Of an integer, and of bytes. */
const INTEGER = 0
const BYTES = 2

/** Goes through the fields of a protobuf message: https://protobuf.dev/programming-guides/encoding/ */
export class Fields {
  readonly #message: Buffer
  readonly #end: number
  #type = INTEGER
  #number = 0
  #from: number
  #to: number
  id = 0

  constructor(message: Buffer, from: number, to: number) {
    this.#message = message
    this.#from = from
    this.#to = from
    this.#end = to
  }

  /** Of an integer, exact up to 2^53. Like `from` and `to`, it throws if the field has another type. */
  get number(): number {
    if (this.#type !== INTEGER) throw this.#wrongType()
    return this.#number
  }

  /** Where the varint of an integer begins: it has 10 bytes at most. */
  get integerFrom(): number {
    if (this.#type !== INTEGER) throw this.#wrongType()
    return this.#from
  }

  /** Where the bytes begin, without their length. */
  get from(): number {
    if (this.#type !== BYTES) throw this.#wrongType()
    return this.#from
  }

  /** Where they end. */
  get to(): number {
    if (this.#type !== BYTES) throw this.#wrongType()
    return this.#to
  }

  /** `false` where there is no more. */
  next(): boolean {
    if (this.#to === this.#end) return false
    const tag = this.#varint()
    const type = tag % 8
    this.id = Math.floor(tag / 8)
    this.#type = type
    this.#from = this.#to
    if (type === INTEGER) {
      this.#number = this.#varint()
      return true
    }
    const length = type === BYTES ? this.#varint() : type === 1 ? 8 : type === 5 ? 4 : Number.NaN
    this.#from = this.#to
    this.#to += length
    if (this.#to <= this.#end) return true
    throw broken(this.#from)
  }

  #varint(): number {
    const from = this.#to
    let number = 0
    for (let scale = 1; this.#to < this.#end && this.#to < from + 10; scale *= 0x80) {
      const byte = this.#message[this.#to]!
      this.#to += 1
      number += (byte & 0x7f) * scale
      if (byte < 0x80) return number
    }
    throw broken(from)
  }

  #wrongType(): InvalidAnswer {
    return new InvalidAnswer(`field ${this.id} has the wrong type at byte ${this.#from}`)
  }
}

function broken(at: number): InvalidAnswer {
  return new InvalidAnswer(`it is broken at byte ${at}`)
}

/** Of the header that each answer of etcd has, 0 if there is none. */
export function revisionIn(message: Buffer, from: number, to: number): number {
  const header = new Fields(message, from, to)
  let revision = 0
  while (header.next()) if (header.id === 3) revision = header.number
  return revision
}

/** Beyond that it is not exact; no store comes so far. */
export function isRevision(revision: number): boolean {
  return revision >= 1 && Number.isSafeInteger(revision)
}
