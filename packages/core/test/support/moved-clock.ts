import type { Clock } from '../../src/etcd/support/clock.ts'

/** A clock that stands still until a test moves it; its chance is always the same one. */
export class MovedClock implements Clock {
  #now = 0
  readonly #timers = new Set<{ at: number; fn: () => void }>()
  readonly #chance: number

  constructor(chance = 0.5) {
    this.#chance = chance
  }

  now(): number {
    return this.#now
  }

  date(): Date {
    return new Date(this.#now)
  }

  random(): number {
    return this.#chance
  }

  after(ms: number, fn: () => void): () => void {
    const timer = { at: this.#now + ms, fn }
    this.#timers.add(timer)
    return () => this.#timers.delete(timer)
  }

  /** How many timers are set. */
  get waiting(): number {
    return this.#timers.size
  }

  advance(ms: number): void {
    this.#now += ms
    for (const timer of [...this.#timers].sort((a, b) => a.at - b.at)) {
      if (timer.at <= this.#now && this.#timers.delete(timer)) timer.fn()
    }
  }
}
