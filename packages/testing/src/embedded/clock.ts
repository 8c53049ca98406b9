/** Time that goes by itself and can be moved forward as well. */
export interface Clock {
  /** Monotonic milliseconds. */
  now(): number
  /** Runs `fn` once this time is reached, without keeping the process alive; returns the cancellation. */
  at(time: number, fn: () => void): () => void
  /** Moves time forward; what falls due on the way runs, in order, before this returns. */
  advance(ms: number): void
  /** Nothing falls due from here on, until it is started again. */
  halt(): void
  /** Runs what fell due meanwhile. */
  start(): void
}

interface Alarm {
  readonly time: number
  readonly fn: () => void
}

/** Longest delay of a Node timer. */
const LONGEST = 2 ** 31 - 1

export function createClock(): Clock {
  const alarms = new Set<Alarm>()
  let moved = 0
  let running = true
  let timer: NodeJS.Timeout | undefined
  let timerAt = Number.POSITIVE_INFINITY

  const now = () => performance.now() + moved
  const next = () => {
    let first: Alarm | undefined
    for (const alarm of alarms) if (first === undefined || alarm.time < first.time) first = alarm
    return first
  }

  function run() {
    timerAt = Number.POSITIVE_INFINITY
    let alarm = next()
    for (; running && alarm !== undefined && alarm.time <= now(); alarm = next()) {
      alarms.delete(alarm)
      alarm.fn()
    }
    if (alarm !== undefined) wake(alarm.time)
  }

  /** A cancelled alarm leaves its timer: it wakes us once for nothing. */
  function wake(time: number) {
    if (!running || time >= timerAt) return
    clearTimeout(timer)
    timerAt = time
    timer = setTimeout(run, Math.min(Math.max(0, Math.ceil(time - now())), LONGEST)).unref()
  }

  return {
    now,
    at(time, fn) {
      const alarm = { time, fn }
      alarms.add(alarm)
      wake(time)
      return () => alarms.delete(alarm)
    },
    advance(ms) {
      if (!Number.isFinite(ms) || ms < 0) {
        throw new RangeError(`Time goes forward only, by a finite number of milliseconds: not by ${ms}`)
      }
      moved += ms
      if (running) run()
    },
    halt() {
      running = false
      clearTimeout(timer)
      timerAt = Number.POSITIVE_INFINITY
    },
    start() {
      running = true
      run()
    },
  }
}
