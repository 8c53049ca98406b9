import { getEventListeners } from 'node:events'
import { expect, test } from 'vitest'
import { type Clock, sleep, systemClock } from '../src/etcd/support/clock.ts'

/** A clock whose timers fire when it is told. */
function manualClock() {
  const timers = new Set<() => void>()
  const clock: Clock = {
    ...systemClock,
    after(_, fn) {
      timers.add(fn)
      return () => timers.delete(fn)
    },
  }
  return { clock, timers }
}

test('a sleep ends with its time, and leaves no listener on the signal', async () => {
  const { clock, timers } = manualClock()
  const { signal } = new AbortController()
  const slept = sleep(clock, 1000, signal)
  expect(getEventListeners(signal, 'abort')).toHaveLength(1)
  for (const fire of timers) fire()
  await slept
  expect(timers.size).toBe(0)
  expect(getEventListeners(signal, 'abort')).toHaveLength(0)
})

test('an abort ends a sleep at once, and its timer', async () => {
  const { clock, timers } = manualClock()
  const controller = new AbortController()
  const slept = sleep(clock, 1000, controller.signal)
  expect(timers.size).toBe(1)
  controller.abort()
  await slept
  expect(timers.size).toBe(0)
  await sleep(clock, 1000, controller.signal)
  expect(timers.size).toBe(0)
})

test('the time of the system only goes forward, and its timers can be called off', async () => {
  const before = systemClock.now()
  const fired: string[] = []
  systemClock.after(0, () => fired.push('called off'))()
  await new Promise<void>(resolve => {
    systemClock.after(1, resolve)
    // Ours do not keep the process alive, so that this one has to.
    setTimeout(() => {}, 100)
  })
  expect(fired).toEqual([])
  expect(systemClock.now()).toBeGreaterThan(before)
  expect(Math.abs(systemClock.date().getTime() - Date.now())).toBeLessThan(1000)
})

test('what was due before now runs at once, and without a warning', async () => {
  const warnings: Error[] = []
  const note = (warning: Error) => warnings.push(warning)
  process.on('warning', note)
  await new Promise<void>(resolve => systemClock.after(-0.5, resolve))
  await new Promise(resolve => setImmediate(resolve))
  process.off('warning', note)
  expect(warnings).toEqual([])
})

test.each([2 ** 31, 9_000_000_000_000, Number.POSITIVE_INFINITY])(
  'a timer of %d ms does not fire at once',
  async ms => {
    let fired = false
    const cancel = systemClock.after(ms, () => {
      fired = true
    })
    // Those of 1 ms come before one of 20 ms.
    await new Promise(resolve => setTimeout(resolve, 20))
    cancel()
    expect(fired).toBe(false)
  },
)
