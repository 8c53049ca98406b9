/** Bounds how much goes on at a time; what comes then waits its turn, first come first served. */
export class Slots {
  readonly #waiting: (() => void)[] = []
  #free: number

  constructor(count: number) {
    this.#free = count
  }

  /** Resolves when there is a slot, with whether it had to wait for it. Each is given back with `release()`. */
  async take(): Promise<boolean> {
    if (this.#free > 0) {
      this.#free -= 1
      return false
    }
    await new Promise<void>(resolve => this.#waiting.push(resolve))
    return true
  }

  release(): void {
    const next = this.#waiting.shift()
    if (next === undefined) this.#free += 1
    else next()
  }
}
