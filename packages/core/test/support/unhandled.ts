import { afterAll, beforeAll, expect } from 'vitest'

/** In every test file: nothing of ours may ever end a process, or make Node warn of a leak (G20). */
export function forbidUnhandled(): void {
  const seen: unknown[] = []
  const note = (error: unknown) => seen.push(error)
  beforeAll(() => {
    process.on('unhandledRejection', note).on('uncaughtExceptionMonitor', note).on('warning', note)
  })
  afterAll(() => {
    process.off('unhandledRejection', note).off('uncaughtExceptionMonitor', note).off('warning', note)
    expect(seen, 'unhandled rejections, uncaught exceptions and warnings').toEqual([])
  })
}
