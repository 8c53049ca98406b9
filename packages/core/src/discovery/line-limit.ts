import type { Clock } from '../etcd/support/clock.ts'

/** Lines in a minute, at most. With more of them, a line for each says nothing more. */
export const MOST_LINES = 50
const MINUTE = 60_000

export interface LimitListener {
  /** There is no further line in this minute. */
  reached(): void
  /** The minute is over, and so many lines were left out. */
  over(left: number): void
}

/** Bounds the lines on one service. */
export class LineLimit {
  readonly #clock: Clock
  readonly #listener: LimitListener
  #wanted = 0
  #cancel = () => {}

  constructor(clock: Clock, listener: LimitListener) {
    this.#clock = clock
    this.#listener = listener
  }

  /** Whether there is a line; the last one of a minute says that there are no more. */
  take(): boolean {
    if (this.#wanted === 0) this.#cancel = this.#clock.after(MINUTE, () => this.close())
    this.#wanted += 1
    if (this.#wanted === MOST_LINES) this.#listener.reached()
    return this.#wanted < MOST_LINES
  }

  /** Ends the minute. */
  close(): void {
    this.#cancel()
    const left = this.#wanted - MOST_LINES + 1
    this.#wanted = 0
    if (left > 0) this.#listener.over(left)
  }
}
