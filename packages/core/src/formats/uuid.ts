import { createHash } from 'node:crypto'

/** RFC 9562's namespace of URLs. */
const NAMESPACE = Buffer.from('6ba7b8119dad11d180b400c04fd430c8', 'hex')

/** A UUID made of a text: version 5 of RFC 9562. The same text gives the same UUID. */
export function uuidOf(text: string): string {
  const hash = createHash('sha1').update(NAMESPACE).update(text).digest()
  hash[6] = (hash[6]! & 0x0f) | 0x50
  hash[8] = (hash[8]! & 0x3f) | 0x80
  return hash.toString('hex', 0, 16).replace(/^(.{8})(.{4})(.{4})(.{4})/, '$1-$2-$3-$4-')
}
