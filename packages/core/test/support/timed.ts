/** A test machine may be late by so much, in ms. */
export const SLACK = 300

/** How long it took, in ms. */
export async function timed(work: Promise<unknown>): Promise<number> {
  const start = performance.now()
  await work
  return performance.now() - start
}
