import type { KeyValue } from './key-value.ts'
import { Fields, InvalidAnswer, revisionIn } from './message-fields.ts'
import { MessageRow } from './message-row.ts'

/** How long an answer took, in ms. */
export interface AnswerTimes {
  /** From the request to the end of the answer. */
  total: number
  /** From the first byte of the answer to the last one. */
  transfer: number
}

/** Keys and values of a range, as far as one answer goes: etcd's RangeResponse. */
export interface RangePage {
  /** etcd's revision when it answered. */
  readonly revision: number
  /** Keys in the whole range. */
  readonly count: number
  /** There are keys after these. */
  readonly more: boolean
  /** Where the next page begins, if there is one. */
  readonly next: Buffer | undefined
  /** Keys in this page. */
  readonly length: number
  /** Size of the answer. */
  readonly bytes: number
  readonly times: AnswerTimes
  /** Who answered. */
  member: string
  /** Read only now, so that it can be gone before the next one. Throws if it is none. */
  at(index: number): KeyValue
}

/**
 * Reads a RangeResponse. etcd3's decoder makes objects of all that is in it, which takes longer than to make instances of
 * them. Throws `InvalidAnswer` where the message is broken, or has more than `limit` rows.
 */
export function decodeRange(
  message: Buffer,
  times: AnswerTimes = { total: 0, transfer: 0 },
  limit: number = Number.POSITIVE_INFINITY,
): RangePage {
  const page = new Page(message, times)
  const fields = new Fields(message, 0, message.length)
  while (fields.next()) {
    if (fields.id === 1) page.revision = revisionIn(message, fields.from, fields.to)
    else if (fields.id === 2) {
      if (page.length === limit) throw new InvalidAnswer(`it has more than ${limit} rows`)
      page.rows.push(fields.from, fields.to)
    } else if (fields.id === 3) page.more = fields.number > 0
    else if (fields.id === 4) page.count = fields.number
  }
  return page
}

class Page implements RangePage {
  readonly #message: Buffer
  /** Where each key and value begins, and where it ends. */
  readonly rows: number[] = []
  revision = 0
  count = 0
  more = false
  member = ''
  readonly times: AnswerTimes

  constructor(message: Buffer, times: AnswerTimes) {
    this.#message = message
    this.times = times
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

  #row(index: number): MessageRow {
    return new MessageRow(this.#message, this.rows[2 * index]!, this.rows[2 * index + 1]!)
  }
}
