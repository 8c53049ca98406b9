import { type Scene, scenes, type Times } from './scenes.ts'
import { openStage, type Stage } from './stage.ts'

export interface DemoOptions {
  /** Every scene once; else over and over. */
  once: boolean
  /** On a real etcd, started for it. */
  etcd: boolean
  /** Where it is to be seen. */
  output: NodeJS.WriteStream
  /** Ends the demo. */
  signal: AbortSignal
}

/** What `--json` prints; times in ms unless said otherwise. */
export interface Report extends Times {
  /** Every scene happened, and no call failed but those to a crashed instance. */
  ok: boolean
  requests: number
  failed: number
  failedAfterCrash: number
  /** Lease time of an instance, in seconds. */
  ttl: number
  /** How long all of it took, in seconds. */
  seconds: number
}

/** Opens everything, plays the scenes, and closes everything in order. Rejects if it cannot start. */
export async function runDemo({ once, etcd, output, signal }: DemoOptions): Promise<Report> {
  const closers: (() => Promise<void>)[] = []
  const times: Times = {}
  let stage: Stage | undefined
  let happened = false
  try {
    stage = await openStage({ once, etcd, output, signal, onOpen: close => closers.unshift(close) })
    do happened = await play(scenes, { stage, times, once, signal })
    while (!once)
  } catch (error) {
    if (!signal.aborted) throw error
  } finally {
    stage?.screen.scene('The end', ['The calls end, the instances leave, then consumer and etcd close.'])
    for (const close of closers) {
      await close().catch((error: Error) => {
        happened = false
        stage?.screen.note(error.message)
      })
    }
  }
  const { requests = 0, failed = 0, failedAfterCrash = 0 } = stage?.consumer.calls ?? {}
  const ok = happened && failed === 0 && !signal.aborted
  const seconds = Math.round(performance.now() / 100) / 10
  return { ok, requests, failed, failedAfterCrash, ttl: stage?.ttl ?? 0, ...times, seconds }
}

interface Run extends Pick<DemoOptions, 'once' | 'signal'> {
  stage: Stage
  times: Times
}

/** Resolves with whether all happened; the first that did not ends it, unless somebody watches. */
async function play(scenes: readonly Scene[], { stage, times, once, signal }: Run): Promise<boolean> {
  let happened = true
  for (const scene of scenes) {
    try {
      const { text, ...seen } = await scene(stage)
      Object.assign(times, seen)
      stage.screen.outcome(true, text)
      await stage.pause()
    } catch (error) {
      if (signal.aborted) throw error
      stage.screen.outcome(false, (error as Error).message)
      happened = false
      if (once) break
    }
  }
  return happened
}
