import { backoff } from './backoff.ts'
import { type Clock, sleep } from './clock.ts'
import type { EtcdRegisterError } from './errors.ts'
import type { Connection } from './etcd/connection.ts'

export interface WorkerDeps {
  clock: Clock
  connection: Pick<Connection, 'whenUp'>
}

export interface Work {
  /** Comes first; again only if it failed. */
  prepare(): Promise<void>
  /** Whether there is all that it takes; if not, `look()` tells of a change. */
  ready(): boolean
  /** Looks at what there is and does what is missing. */
  run(): Promise<void>
  failed(error: EtcdRegisterError): void
}

/** Works whenever there may be something to do, one at a time, and after a failure again with backoff. */
export class Worker {
  /** When it stopped, after the signal. */
  readonly over: Promise<void>
  #dirty = true
  #wake = () => {}

  constructor(deps: WorkerDeps, work: Work, signal: AbortSignal) {
    signal.addEventListener('abort', () => this.#wake())
    this.over = this.#run(deps, work, signal)
  }

  /** There may be something to do; however often that is said before its turn, it works once. */
  look(): void {
    this.#dirty = true
    this.#wake()
  }

  async #run({ clock, connection }: WorkerDeps, work: Work, signal: AbortSignal): Promise<void> {
    let prepared = false
    for (let attempt = 0; !signal.aborted; ) {
      try {
        if (!prepared) await work.prepare()
        prepared = true
        while (!signal.aborted && !(this.#dirty && work.ready())) {
          await new Promise<void>(resolve => {
            this.#wake = resolve
          })
        }
        if (signal.aborted) return
        this.#dirty = false
        await work.run()
        attempt = 0
      } catch (error) {
        if (signal.aborted) return
        this.#dirty = true
        work.failed(error as EtcdRegisterError)
        await sleep(clock, backoff(attempt, clock), signal)
        await connection.whenUp(signal)
        attempt += 1
      }
    }
  }
}
