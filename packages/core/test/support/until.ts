import { setTimeout as pause } from 'node:timers/promises'

/** Resolves when the condition holds; rejects with what it last threw, or with `what`, once `within` ms are over. */
export async function until(
  condition: () => unknown,
  { within = 20_000, what = String(condition) }: { within?: number; what?: string } = {},
): Promise<void> {
  const end = performance.now() + within
  for (;;) {
    let failure: unknown
    try {
      if (await condition()) return
    } catch (error) {
      failure = error
    }
    if (performance.now() > end) throw failure ?? new Error(`Not within ${within} ms: ${what}`)
    await pause(20)
  }
}
