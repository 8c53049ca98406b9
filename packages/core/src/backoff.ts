import type { Clock } from './clock.ts'

const FIRST = 200
const LONGEST = 5000
const GROWTH = 1.5

/**
 * Full jitter: anything from 0 to a limit that grows from 200 ms to 5 s, so that a fleet does not come back in step.
 * Source: M. Brooker, "Exponential Backoff And Jitter", AWS Architecture Blog, 2015.
 */
export function backoff(attempt: number, clock: Pick<Clock, 'random'>): number {
  return clock.random() * Math.min(LONGEST, FIRST * GROWTH ** attempt)
}
