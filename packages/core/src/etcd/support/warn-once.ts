import type { Clock } from './clock.ts'
import type { Logger } from './logger.ts'

/** A condition that comes and goes is told of no more often, in ms. */
const PAUSE = 60_000

/** What may pass by itself is told of when it lasts longer, in ms. */
export const LASTING = 10_000

export interface Line {
  fields: object
  message: string
}

/**
 * Something that does not work: one warning when it begins and one when it is over. Where it comes and goes, a pair of
 * them each minute; a condition that lasts is told of in any case.
 */
export class WarnOnce {
  readonly #clock: Clock
  readonly #logger: Logger
  /** When each kind was last told of, by the clock. */
  readonly #toldAt = new Map<string, number>()
  /** The kinds of now, each with the line that is due, if one is still to be told. */
  readonly #kinds = new Map<string, Line | undefined>()
  readonly #timers = new Map<string, () => void>()
  #told = false

  constructor(clock: Clock, logger: Logger) {
    this.#clock = clock
    this.#logger = logger
  }

  /**
   * May be called with each failure. `kind`: another one is told of, too. `line`: none where another warning tells of it
   * already. `after`: ms that it has to last.
   */
  begins(kind: string, line?: Line, after = 0): void {
    if (this.#kinds.has(kind)) {
      if (this.#kinds.get(kind) !== undefined) this.#kinds.set(kind, line)
      return
    }
    this.#kinds.set(kind, line)
    if (line === undefined) {
      this.#told = true
      return
    }
    const again = (this.#toldAt.get(kind) ?? Number.NEGATIVE_INFINITY) + PAUSE - this.#clock.now()
    const wait = Math.max(after, again)
    if (wait <= 0) {
      this.#tell(kind)
      return
    }
    const cancel = this.#clock.after(wait, () => {
      this.#timers.delete(kind)
      this.#tell(kind)
    })
    this.#timers.set(kind, cancel)
  }

  /** May be called with each success. `line`: none where another one says so. */
  ends(line?: () => Line): void {
    if (this.#kinds.size === 0) return
    const told = this.#told
    this.close()
    if (!told || line === undefined) return
    const { fields, message } = line()
    this.#logger.warn(fields, message)
  }

  /** Another warning tells of it from now on. The end of what was told is still to come. */
  dropUntold(): void {
    for (const [kind, cancel] of this.#timers) {
      cancel()
      this.#kinds.delete(kind)
    }
    this.#timers.clear()
  }

  /** Nobody is concerned any more. */
  close(): void {
    for (const cancel of this.#timers.values()) cancel()
    this.#timers.clear()
    this.#kinds.clear()
    this.#told = false
  }

  #tell(kind: string): void {
    const { fields, message } = this.#kinds.get(kind)!
    this.#kinds.set(kind, undefined)
    this.#toldAt.set(kind, this.#clock.now())
    this.#told = true
    this.#logger.warn(fields, message)
  }
}

/** One of several at a time: it is over once it is for each of them. */
export class SharedWarnOnce {
  readonly #condition: WarnOnce
  readonly #concerned = new Set<object>()

  constructor(clock: Clock, logger: Logger) {
    this.#condition = new WarnOnce(clock, logger)
  }

  begins(who: object, kind: string, line: Line): void {
    this.#concerned.add(who)
    this.#condition.begins(kind, line)
  }

  /** Without a line where nobody is concerned any more. */
  ends(who: object, line?: () => Line): void {
    if (this.#concerned.delete(who) && this.#concerned.size === 0) this.#condition.ends(line)
  }
}
