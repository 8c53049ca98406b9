import { constants } from 'node:os'
import { isMainThread } from 'node:worker_threads'

type Signal = 'SIGTERM' | 'SIGINT'

/** Someone who has to leave before the process ends. */
export interface Participant {
  /** Off the roll, so that no new traffic comes; the app goes on. */
  leave(): Promise<void>
  /** That, and everything closed. */
  shutdown(): Promise<void>
}

interface Shutdown {
  readonly participants: Set<Participant>
  installed: Map<Signal, () => void>
  begunAt: number | undefined
}

const KEY = Symbol.for('etcd-register.shutdown')
const shared = globalThis as { [KEY]?: Shutdown }
shared[KEY] ??= { participants: new Set(), installed: new Map(), begunAt: undefined }
const state = shared[KEY]

const SIGNAL_EXIT = Symbol.for('signal-exit emitter')

/** Ctrl-C reaches a child of npm twice within this time, in ms. */
const DUPLICATE = 500

/**
 * Leaves when SIGTERM or SIGINT comes, as a guest: where the app handles the signal itself, how and when to end stays
 * its business; where nobody else does, the process ends by that signal once all have left. A second one ends it at once.
 */
export function leaveOnSignals(participant: Participant): () => void {
  if (!isMainThread) return () => {}
  state.participants.add(participant)
  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    if (state.installed.has(signal)) continue
    const handler = () => void onSignal(signal, handler)
    state.installed.set(signal, handler)
    process.on(signal, handler)
  }
  return () => {
    state.participants.delete(participant)
    if (state.participants.size === 0 && state.begunAt === undefined) uninstall()
  }
}

async function onSignal(signal: Signal, handler: () => void): Promise<void> {
  const others = process.listeners(signal).filter(listener => listener !== handler).length
  const appHandles = others > signalExitListeners()
  if (state.begunAt !== undefined) {
    if (!appHandles && performance.now() - state.begunAt > DUPLICATE) raise(signal)
    return
  }
  state.begunAt = performance.now()
  const participants = [...state.participants]
  if (appHandles) {
    await Promise.all(participants.map(participant => participant.leave()))
    state.begunAt = undefined
    return
  }
  await Promise.all(participants.map(participant => participant.shutdown()))
  raise(signal)
}

/**
 * Those of the package signal-exit, in many apps through others of theirs, handle nothing: they wait until nobody else
 * listens. It counts them in a global, one for versions before 4.
 */
function signalExitListeners(): number {
  const before4 = (process as { __signal_exit_emitter__?: { count?: number } }).__signal_exit_emitter__
  const since4 = (globalThis as { [SIGNAL_EXIT]?: { count?: number } })[SIGNAL_EXIT]
  return (before4?.count ?? 0) + (since4?.count ?? 0)
}

/** The exit status stays the signal's; PID 1 ignores a signal without a handler, hence the exit behind it. */
function raise(signal: Signal): void {
  uninstall()
  process.kill(process.pid, signal)
  setTimeout(() => process.exit(128 + constants.signals[signal]), 100)
}

function uninstall(): void {
  for (const [signal, handler] of state.installed) process.off(signal, handler)
  state.installed.clear()
}
