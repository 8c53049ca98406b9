/** Time and chance come in from outside, so that tests move them instead of waiting. */
export interface Clock {
  /** Monotonic milliseconds. */
  now(): number
  date(): Date
  /**
   * Runs `fn` after `ms`, at once where that is past, without keeping the process alive; after 24 days at the latest. Returns
   * the cancellation.
   */
  after(ms: number, fn: () => void): () => void
  /** 0 <= x < 1 */
  random(): number
}

/** Node fires a timer at once whose delay is longer. In ms. */
const LONGEST = 2 ** 31 - 1

export const systemClock: Clock = {
  now: () => performance.now(),
  date: () => new Date(),
  after(ms, fn) {
    // What is due already is late by a fraction of a millisecond, and newer Nodes warn of that.
    const timer = setTimeout(fn, Math.min(LONGEST, Math.max(0, ms))).unref()
    return () => clearTimeout(timer)
  },
  random: Math.random,
}

/** Resolves after `ms`, or at once when the signal aborts; never rejects. */
export function sleep(clock: Clock, ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise(resolve => {
    if (signal?.aborted) return resolve()
    const cancel = clock.after(ms, done)
    function done() {
      cancel()
      signal?.removeEventListener('abort', done)
      resolve()
    }
    signal?.addEventListener('abort', done)
  })
}
