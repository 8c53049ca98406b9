const PREFACE = 24
const HEAD = 9

/** Longer ones are refused anyway. */
const LONGEST = HEAD + 16_384

const HEADERS = 1
const GOAWAY = 7

const PADDED = 0x8
const PRIORITY = 0x20

/**
 * What a client of HTTP/2 sends, changed in two places where etcd takes more than Node's HTTP/2:
 *
 * - A GOAWAY is left out where etcd serves HTTP/2 by gRPC's own server, which it does without TLS. After one, Node takes no
 *   request, though one that follows may well have been on its way.
 * - An `:authority` with slashes, which Go's clients make of `http://` in an endpoint, has dashes instead.
 *
 * It passes on a frame of headers when it has all of it, any other one as it comes.
 */
export class ClientFrames {
  readonly #give: (bytes: Buffer) => void
  #waiting: Buffer = Buffer.alloc(0)
  /** Bytes that are still to come of what is given on as it comes. */
  #open = PREFACE

  readonly #dropsGoaway: boolean

  constructor(give: (bytes: Buffer) => void, dropsGoaway: boolean) {
    this.#give = give
    this.#dropsGoaway = dropsGoaway
  }

  take(chunk: Buffer): void {
    let bytes = this.#waiting.length === 0 ? chunk : Buffer.concat([this.#waiting, chunk])
    for (;;) {
      if (this.#open > 0) {
        const part = bytes.subarray(0, this.#open)
        this.#open -= part.length
        bytes = bytes.subarray(part.length)
        if (part.length > 0) this.#give(part)
      }
      if (bytes.length < HEAD) break
      const length = HEAD + bytes.readUIntBE(0, 3)
      const type = bytes[3]!
      if ((type !== HEADERS && type !== GOAWAY) || length > LONGEST) {
        this.#open = length
        continue
      }
      if (bytes.length < length) break
      const frame = Buffer.from(bytes.subarray(0, length))
      bytes = bytes.subarray(length)
      if (type === GOAWAY && this.#dropsGoaway) continue
      withoutSlashes(frame)
      this.#give(frame)
    }
    this.#waiting = bytes
  }
}

/** Changes the authority in a frame of headers, if it is there, in place and without another length. */
function withoutSlashes(frame: Buffer): void {
  const flags = frame[4]!
  let at = HEAD
  if (flags & PADDED) at += 1
  if (flags & PRIORITY) at += 5
  const number = (prefix: number): number => {
    const most = 2 ** prefix - 1
    let value = frame[at++]! & most
    if (value < most) return value
    for (let shift = 0; at < frame.length; shift += 7) {
      const byte = frame[at++]!
      value += (byte & 0x7f) * 2 ** shift
      if (byte < 0x80) break
    }
    return value
  }
  const text = () => {
    const packed = (frame[at]! & 0x80) !== 0
    const length = number(7)
    const bytes = frame.subarray(at, at + length)
    at += length
    return { packed, bytes }
  }
  while (at < frame.length) {
    const first = frame[at]!
    if (first & 0x80) number(7)
    else if ((first & 0xe0) === 0x20) number(5)
    else {
      const name = number(first & 0x40 ? 6 : 4)
      if (name === 0) text()
      const { packed, bytes } = text()
      // in the table of names that HTTP/2 starts with
      if (name === 1) (packed ? replacePacked : replacePlain)(bytes)
    }
  }
}

const SLASH = 0x2f
const DASH = 0x2d

function replacePlain(bytes: Buffer): void {
  for (const [index, byte] of bytes.entries()) if (byte === SLASH) bytes[index] = DASH
}

/** Codes of 5 to 8 bits of HTTP/2's Huffman coding: each is below the bound of its length. Longer ones are of rare signs. */
const BOUNDS = [
  [5, 0x0a],
  [6, 0x2e],
  [7, 0x7c],
  [8, 0xfe],
] as const

const PACKED_SLASH = 0b011000
const PACKED_DASH = 0b010110

function replacePacked(bytes: Buffer): void {
  const bits = (at: number, count: number) => {
    const pair = ((bytes[at >> 3] ?? 0xff) << 8) | (bytes[(at >> 3) + 1] ?? 0xff)
    return (pair >> (16 - (at & 7) - count)) & (2 ** count - 1)
  }
  for (let at = 0; at < bytes.length * 8; ) {
    const [length] = BOUNDS.find(([length, bound]) => bits(at, length) < bound) ?? []
    if (length === undefined) return
    if (length === 6 && bits(at, 6) === PACKED_SLASH) {
      for (let bit = 0; bit < 6; bit++) {
        const differs = ((PACKED_SLASH ^ PACKED_DASH) >> (5 - bit)) & 1
        if (differs) bytes[(at + bit) >> 3]! ^= 0x80 >> ((at + bit) & 7)
      }
    }
    at += length
  }
}
