import type { IRangeRequest } from 'etcd3'
import { InvalidAnswer, isRevision } from './message-fields.ts'
import type { RangePage } from './range-page.ts'

/** As etcd3 decodes it, from whoever sent it. */
interface Decoded {
  header?: { revision?: string } | null
}
export interface DecodedGrant extends Decoded {
  ID: string
  TTL: string
}

/** etcd grants what is asked for, or 1.5 times its election timeout, which is 50 s at most. In seconds. */
const LONGEST_GRANT = 3600

/** What a token may consist of: it is sent as a header. */
const TOKEN = /^[\x21-\x7e]{1,8192}$/

/** Throws `InvalidAnswer` unless the page can be the answer to this request; its rows are checked as they are read. */
export function checkRange(page: RangePage, request: IRangeRequest): void {
  const { revision, length, count, next } = page
  if (!isRevision(revision)) throw new InvalidAnswer(`revision ${revision}`)
  if (request.count_only) return
  const fits = page.more ? count > length && length > 0 : count === length
  // `count` is of all keys of the range, also where only some of them are asked for.
  if (!fits && request.min_mod_revision === undefined)
    throw new InvalidAnswer(`${length} rows of ${count}${page.more ? ', and more' : ''}`)
  if (request.sort_target !== undefined || next === undefined) return
  const end = request.range_end as Buffer | undefined
  const first = request.key as Buffer
  const isFurther = Buffer.compare(next, first) > 0
  if (!isFurther || end === undefined || (!isOpen(end) && Buffer.compare(next, end) > 0))
    throw new InvalidAnswer('the next page does not come after this one')
}

/** A range without an end. */
const isOpen = (end: Buffer): boolean => end.length === 1 && end[0] === 0

/** Throws `InvalidAnswer` unless it grants the lease that was asked for; `TTL` is in seconds. */
export function checkGrant(answer: DecodedGrant, asked: { TTL: number; ID: string }): void {
  revisionOf(answer)
  const [id, ttl] = [BigInt(answer.ID), Number(answer.TTL)]
  if (id !== BigInt(asked.ID)) throw new InvalidAnswer(`lease ${id}`)
  if (!(ttl >= 1 && ttl <= Math.max(asked.TTL, LONGEST_GRANT)))
    throw new InvalidAnswer(`a lease of ${ttl} s, where ${asked.TTL} s were asked for`)
}

/** Throws `InvalidAnswer`. The token is not in it. */
export function checkToken({ token }: { token: string }): void {
  if (!TOKEN.test(token)) throw new InvalidAnswer('its token cannot be sent in a header')
}

function revisionOf({ header }: Decoded): number {
  const revision = Number(header?.revision ?? 0)
  if (!isRevision(revision)) throw new InvalidAnswer(`revision ${revision}`)
  return revision
}
