import { constants } from 'node:os'
import { setTimeout as pause } from 'node:timers/promises'
import { isMainThread } from 'node:worker_threads'
import { onPrimaryGone } from './primary.ts'
import { isInForeground } from './terminal.ts'

/** The last is how nodemon restarts; it can mean anything else to an app, so it counts only where nobody else listens. */
const SIGNALS = ['SIGTERM', 'SIGINT', 'SIGUSR2'] as const

type Signal = (typeof SIGNALS)[number]

/** Someone who has to leave before the process ends. */
export interface Participant {
  /** Deregisters, so that no new traffic comes; the app goes on. */
  leave(options: Leave): Promise<void>
  /** That, and everything closed. */
  shutdown(options: Leave): Promise<void>
}

export interface Leave {
  /** Whether to serve on for those who have not heard of it yet. */
  drain: boolean
}

interface Shutdown {
  readonly participants: Set<Participant>
  readonly uninstall: Set<() => void>
  /** The signals that the app handled, and whether the last of each came longer ago than its duplicate would. */
  readonly handled: Map<string, () => boolean>
  /** The same of the one that this process ends for. */
  ending: (() => boolean) | undefined
}

const KEY = Symbol.for('etcd-register.shutdown')
const shared = globalThis as { [KEY]?: Shutdown }
shared[KEY] ??= { participants: new Set(), uninstall: new Set(), handled: new Map(), ending: undefined }
const state = shared[KEY]

const SIGNAL_EXIT = Symbol.for('signal-exit emitter')

/** Ctrl-C reaches a child of npm twice within this time, in ms. */
const DUPLICATE = 500

/** After the servers have closed, an app that took the first signal has this time to end the process itself, in ms. */
const GRACE = 500

/** PM2 stops an app with `shutdown_with_message` by this message; what listens before the app starts is PM2's own. */
const PM2_MESSAGE = 'shutdown'
const pm2Listeners = process.listenerCount('message')

/** The end of the primary, for a worker of a cluster. */
const PRIMARY_GONE = 'disconnect'

/**
 * Leaves when SIGTERM or SIGINT comes, as a guest: where the app handles the signal itself, how and when to end stays
 * its business; where nobody else does, the process ends by that signal once all have left. A second one ends it at once.
 */
export function leaveOnSignals(participant: Participant): () => void {
  if (!isMainThread) return () => {}
  state.participants.add(participant)
  if (state.uninstall.size === 0) install()
  return () => {
    state.participants.delete(participant)
    if (state.participants.size === 0 && state.ending === undefined) uninstall()
  }
}

function install(): void {
  for (const signal of SIGNALS) {
    const handler = () => {
      const others = process.listenerCount(signal) - 1
      const appHandles = others > signalExitListeners()
      if (signal !== 'SIGUSR2' || !appHandles) void end(signal, appHandles, () => raise(signal))
    }
    // The first, since who listens once is no longer there when the next one is called.
    process.prependListener(signal, handler)
    state.uninstall.add(() => process.off(signal, handler))
  }
  const gone = () => {
    if (state.ending === undefined) void end(PRIMARY_GONE, false, () => process.exit(0))
  }
  state.uninstall.add(onPrimaryGone(gone))
  if (process.env.pm_id === undefined || process.channel === undefined) return
  const handler = (message: unknown) => {
    if (message !== PM2_MESSAGE) return
    void end(PM2_MESSAGE, process.listenerCount('message') - 1 > pm2Listeners, () => process.exit(0))
  }
  const alone = process.listenerCount('message') + process.listenerCount('disconnect') === 0
  process.prependListener('message', handler)
  // A listener of ours must not keep the process alive.
  if (alone) process.channel.unref()
  state.uninstall.add(() => process.off('message', handler))
}

async function end(what: string, appHandles: boolean, endProcess: () => void): Promise<void> {
  const participants = [...state.participants]
  // At a terminal somebody waits, and no load balancer has to hear of it. Without its primary a worker gets no connections.
  const drain = what !== PRIMARY_GONE && (what !== 'SIGINT' || !isInForeground())
  if (appHandles) {
    state.handled.set(what, duplicatesOver())
    await Promise.allSettled(participants.map(participant => participant.leave({ drain })))
    return
  }
  if (state.ending !== undefined) {
    if (state.ending()) endProcess()
    return
  }
  state.ending = duplicatesOver()
  // Where the app took the first one, and listens no longer, it may have raised the signal again.
  const handled = state.handled.get(what)
  if (handled?.()) {
    await Promise.allSettled(participants.map(participant => participant.leave({ drain: false })))
    endProcess()
    return
  }
  await Promise.allSettled(participants.map(participant => participant.shutdown({ drain })))
  // Or it came twice, and the app is still cleaning up.
  if (handled !== undefined) await pause(GRACE)
  endProcess()
}

/** Whether a duplicate of what came now would have been seen. */
function duplicatesOver(): () => boolean {
  let over = false
  // A signal that came while the process was busy is seen between the two.
  const later = () => setImmediate(() => (over = true))
  setTimeout(later, DUPLICATE).unref()
  return () => over
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

/**
 * The exit status stays the signal's. PID 1 ignores a signal without a handler, and two versions of signal-exit wait for
 * each other, hence the exit behind it.
 */
function raise(signal: Signal): void {
  uninstall()
  process.kill(process.pid, signal)
  setTimeout(() => process.exit(128 + constants.signals[signal]), process.pid === 1 ? 100 : 1000)
}

function uninstall(): void {
  for (const undo of state.uninstall) undo()
  state.uninstall.clear()
}
