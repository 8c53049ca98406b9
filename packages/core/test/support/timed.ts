import { setTimeout as pause } from 'node:timers/promises'

/** A test machine may be late by so much, in ms. */
export const SLACK = 300

/** Rejects unless the work is done before timers of so many ms together are: on a busy machine both are late alike. */
export async function within(ms: number, work: Promise<unknown>): Promise<void> {
  const over = new AbortController()
  const late = async () => {
    for (let left = ms; left > 0; left -= 1000) await pause(Math.min(1000, left), undefined, over)
    // What was due until then has its turn.
    await pause(20, undefined, over)
    throw new Error(`Not within ${ms} ms`)
  }
  try {
    await Promise.race([work, late()])
  } finally {
    over.abort()
  }
}
