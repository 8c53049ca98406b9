import type { AnswerTimes } from '../wire/range-page.ts'

/**
 * A page of a range should keep the link busy this long, in ms. The bytes that are queued there delay renewals, requests
 * for progress and HTTP/2 pings, which are given up after 2 s.
 */
const PAGE_TIME = 500

/** Sizes of a page, in bytes. The first one takes less than a second at 64 kbit/s. */
const FIRST = 6 * 1024
const SMALLEST = 2 * 1024
const LARGEST = 8 * 1024 * 1024

/** A page is at most so many times as large as the one before it. */
const GROWTH = 32

/** How many bytes the link to etcd carries in half a second, by the answers that came so far. Shared by all readers. */
export class LinkPace {
  #bytes = FIRST
  /** The shortest time of an answer. It grows slowly, as another member can be farther away. */
  #roundTrip = Number.POSITIVE_INFINITY

  /** The size of the next page. */
  get bytes(): number {
    return this.#bytes
  }

  get bytesPerMs(): number {
    return this.#bytes / PAGE_TIME
  }

  /**
   * The transfer alone does not tell the speed: an answer can be held back and passed on at once, and a short one takes
   * no time. The total does not either: it contains the round trip. So a page grows fast only where the total is short.
   */
  answered(bytes: number, { total, transfer }: AnswerTimes): void {
    this.#roundTrip = Math.min(total, this.#roundTrip * 1.25)
    const sending = Math.max(transfer, total - this.#roundTrip)
    const growth = Math.max(Math.min(2, PAGE_TIME / sending), PAGE_TIME / total)
    const fitting = Math.max(SMALLEST, Math.min(LARGEST, bytes * Math.min(GROWTH, growth)))
    if (fitting > this.#bytes || sending > PAGE_TIME) this.#bytes = fitting
  }
}
