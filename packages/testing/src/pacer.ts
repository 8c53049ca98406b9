/** Bytes that a flow passes on in its turn, at most. */
const CHUNK = 1024

/** Milliseconds that a turn which comes late may catch up: timers of a busy process are late. */
const CATCH_UP = 50

/** Passes on up to so many bytes and returns how many. */
export type Turn = (most: number) => number

/** The bandwidth of one direction of a link, which its flows share in turns. */
export class Pacer {
  readonly #bytesPerMs: number
  readonly #chunk: number
  readonly #waiting: Turn[] = []
  /** When the bytes that passed so far have left the link. */
  #free = 0
  #timer: NodeJS.Timeout | undefined

  constructor(bytesPerSecond: number) {
    this.#bytesPerMs = bytesPerSecond / 1000
    // on a slow link smaller ones, so that the bytes trickle
    this.#chunk = Math.max(1, Math.min(CHUNK, Math.round(bytesPerSecond / 50)))
  }

  /** Asks for a turn, to be called once for each: whoever has more to pass on then asks again. */
  enqueue(turn: Turn): void {
    this.#waiting.push(turn)
    if (this.#timer === undefined) this.#wake()
  }

  /** Gives no further turns. */
  stop(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#waiting.length = 0
  }

  #wake() {
    const wait = Math.max(0, Math.ceil(this.#free - performance.now()))
    this.#timer = setTimeout(() => this.#run(), wait).unref()
  }

  #run() {
    const now = performance.now()
    this.#free = Math.max(this.#free, now - CATCH_UP)
    while (this.#free <= now) {
      const turn = this.#waiting.shift()
      if (turn === undefined) break
      this.#free += turn(this.#chunk) / this.#bytesPerMs
    }
    this.#timer = undefined
    if (this.#waiting.length > 0) this.#wake()
  }
}
