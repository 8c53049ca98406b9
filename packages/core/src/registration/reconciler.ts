import type { Connection } from '../etcd/client/connection.ts'
import type { EtcdRegisterError } from '../etcd/support/errors.ts'

export interface ReconcilerDeps {
  connection: Pick<Connection, 'pause'>
}

export interface Work {
  /** Comes first; again only if it failed. What it does goes on when the signal comes, and its end is not waited for. */
  prepare(): Promise<void>
  /** Whether there is all that it takes; if not, `look()` tells of a change. */
  ready(): boolean
  /** Looks at what there is and does what is missing. */
  run(): Promise<void>
  failed(error: EtcdRegisterError): void
}

/** Works whenever there may be something to do, one at a time, and after a failure again with backoff. */
export class Reconciler {
  readonly #deps: ReconcilerDeps
  readonly #work: Work
  readonly #signal: AbortSignal
  #done: Promise<void> = Promise.resolve()
  #dirty = true
  #wake = () => {}

  constructor(deps: ReconcilerDeps, work: Work, signal: AbortSignal) {
    this.#deps = deps
    this.#work = work
    this.#signal = signal
  }

  start(): void {
    this.#signal.addEventListener('abort', () => this.#wake())
    this.#done = this.#run()
  }

  /** When it stopped, after the signal. */
  get done(): Promise<void> {
    return this.#done
  }

  /** There may be something to do; however often that is said before its turn, it works once. */
  trigger(): void {
    this.#dirty = true
    this.#wake()
  }

  async #run(): Promise<void> {
    const work = this.#work
    const signal = this.#signal
    const aborted = new Promise<void>(resolve => signal.addEventListener('abort', () => resolve()))
    let prepared = false
    for (let attempt = 0; !signal.aborted; ) {
      try {
        // It writes nothing, so nobody has to wait for it.
        if (!prepared) await Promise.race([work.prepare(), aborted])
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
        await this.#deps.connection.pause(attempt, signal)
        attempt += 1
      }
    }
  }
}
