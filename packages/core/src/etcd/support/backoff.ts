import type { Clock } from './clock.ts'

const FIRST = 200
const GROWTH = 1.5

/** In ms: at most this long between two tries, and at most this long while a lease can still be saved. */
export const LONGEST = 5000
export const LONGEST_WHILE_HELD = 1000

/**
 * Full jitter: anything from 0 to a limit that grows from 200 ms to `longest`, so that a fleet does not come back in step.
 * Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 */
export function backoff(attempt: number, clock: Pick<Clock, 'random'>, longest: number = LONGEST): number {
  return clock.random() * Math.min(longest, FIRST * GROWTH ** attempt)
}
