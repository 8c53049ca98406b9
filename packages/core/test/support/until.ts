import { setTimeout as pause } from 'node:timers/promises'

/** Resolves when the condition holds; rejects with what it last threw, or with `what`, once `within` ms are over. */
export async function until(
  condition: () => unknown,
  { within = 30_000, what = String(condition) }: { within?: number; what?: string } = {},
): Promise<void> {
  const end = performance.now() + within
  for (let last = false; ; ) {
    let failure: unknown
    try {
      if (await condition()) return
    } catch (error) {
      failure = error
    }
    if (last) throw failure ?? new Error(`Not within ${within} ms: ${what}`)
    // A machine that is late may have yet to tell what happened in time: there is one more look.
    last = performance.now() > end
    await pause(20)
  }
}
