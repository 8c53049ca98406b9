import type { Instance } from './fleet.ts'
import type { Stage } from './stage.ts'

/** Observed times in ms, from what was done to what the consumer saw. */
export type Times = Partial<
  Record<'startMs' | 'leaveMs' | 'joinMs' | 'crashMs' | 'staleMs' | 'freshMs', number>
>

/** Resolves with what was seen; rejects with what did not happen. */
export type Scene = (stage: Stage) => Promise<Times & { text: string }>

/** Each leaves enough instances for the next one, the last for the first. */
export const scenes: readonly Scene[] = [start, leave, join, crash, cut]

async function start({ fleet, consumer, screen }: Stage) {
  screen.scene('Instances of "orders" start, until there are two', [
    'Each is an Express app with one more line: app.use(etcdRegister()). It takes any',
    'free port, and is registered in etcd as soon as it listens.',
  ])
  const at = performance.now()
  while (fleet.running.length < 2) fleet.start()
  const ids = fleet.running.map(({ id }) => id)
  const listed = () => ids.every(id => consumer.row(id))
  const startMs = since(at, await consumer.until(listed, `the rows of ${ids.join(' and ')} appear`, 10_000))
  consumer.calls.start()
  return { startMs, text: `start: ${ids.join(' and ')} in the table after ${startMs} ms` }
}

async function leave({ fleet, consumer, screen, pause }: Stage) {
  const target = pick(fleet.running, -1)
  screen.scene(`SIGTERM to ${target.id} (pid ${target.pid})`, [
    'It deregisters first, goes on serving for a second, then ends.',
    'Look: its row leaves at once, and no call fails.',
  ])
  await pause()
  const { failed } = consumer.calls
  const at = performance.now()
  target.signal('SIGTERM')
  const gone = () => !consumer.row(target.id)
  const leaveMs = since(at, await consumer.until(gone, `the row of ${target.id} leaves`, 5000))
  const ended = () => !fleet.running.includes(target)
  await consumer.until(ended, `${target.id} ends`, 12_000)
  const how = await target.ended
  if (how !== 'SIGTERM') throw new Error(`leave: ${target.id} ended with ${how} instead of SIGTERM`)
  if (consumer.calls.failed > failed) throw new Error(`leave: ${consumer.calls.failed - failed} calls failed`)
  return { leaveMs, text: `leave: row gone ${leaveMs} ms after SIGTERM, no call failed` }
}

async function join({ fleet, consumer, screen, pause }: Stage) {
  screen.scene('Another instance starts', ['Look: its row appears, and it gets its share of the calls.'])
  await pause()
  const at = performance.now()
  const { id } = fleet.start()
  const listed = () => consumer.row(id) !== undefined
  const joinMs = since(at, await consumer.until(listed, `the row of ${id} appears`, 10_000))
  const called = () => (consumer.row(id)?.answered ?? 0) >= 5
  await consumer.until(called, `${id} gets calls`, 5000)
  return { joinMs, text: `join: row there ${joinMs} ms after the start of its process` }
}

async function crash({ fleet, consumer, screen, ttl, pause }: Stage) {
  const target = pick(fleet.running, 0)
  screen.scene(`kill -9 of ${target.id} (pid ${target.pid})`, [
    `It cannot say goodbye: its row leaves when its lease of ${ttl} s runs out. Until then`,
    'calls to it fail, since this consumer neither retries nor avoids it yet; they',
    'are counted apart.',
  ])
  await pause()
  const before = consumer.calls.failedAfterCrash
  const at = performance.now()
  consumer.calls.expectFailures(target.id)
  target.signal('SIGKILL')
  const gone = () => !consumer.row(target.id)
  const limit = (2 * ttl + 5) * 1000
  const crashMs = since(at, await consumer.until(gone, `the row of ${target.id} leaves`, limit))
  const failed = consumer.calls.failedAfterCrash - before
  return {
    crashMs,
    text: `crash: row gone ${crashMs} ms after kill -9, ${failed} calls to it failed till then`,
  }
}

async function cut({ consumer, screen, link, pause }: Stage) {
  screen.scene('The link between this consumer and etcd is cut', [
    'Look: the table stays and says since when it is stale, and the calls go on.',
    'When the link is back the table is fresh again.',
  ])
  await pause()
  const { rows } = consumer
  const { failed } = consumer.calls
  const cutAt = performance.now()
  await link.cut()
  const stale = () => consumer.staleSince !== undefined
  const staleMs = since(cutAt, await consumer.until(stale, 'the table is stale', 10_000))
  await pause()
  const lost = rows.filter(({ id }) => !consumer.row(id))
  if (lost.length > 0) throw new Error(`cut: ${lost.map(({ id }) => id).join(', ')} left the table`)
  if (consumer.calls.failed > failed) throw new Error(`cut: ${consumer.calls.failed - failed} calls failed`)
  const restoredAt = performance.now()
  await link.restore()
  const freshMs = since(restoredAt, await consumer.until(() => !stale(), 'the table is fresh again', 15_000))
  return {
    staleMs,
    freshMs,
    text: `cut: stale after ${staleMs} ms, all rows kept, fresh ${freshMs} ms after its end`,
  }
}

function pick(running: readonly Instance[], index: number): Instance {
  const instance = running.at(index)
  if (instance === undefined) throw new Error('no instance is running')
  return instance
}

const since = (from: number, to: number) => Math.round(to - from)
