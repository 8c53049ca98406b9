import { EventEmitter } from 'node:events'
import type { Logger } from './logger.ts'

/** An EventEmitter whose listeners cannot harm each other or us: what one of them throws is logged. */
export class Emitter<Events extends { [name in keyof Events]: unknown[] }> extends EventEmitter<Events> {
  readonly #logger: Logger

  constructor(logger: Logger) {
    super()
    // How many listen is up to the app: each connection may, or each component.
    this.setMaxListeners(0)
    this.#logger = logger
  }

  protected emitSafely<Name extends keyof Events & string>(event: Name, ...args: Events[Name]): void {
    for (const listener of this.rawListeners(event as never)) {
      try {
        const result: unknown = Reflect.apply(listener, this, args)
        // Also a promise of another realm, as in Jest, or of a library.
        if (isThenable(result)) Promise.resolve(result).catch(err => this.#report(event, err))
      } catch (err) {
        this.#report(event, err)
      }
    }
  }

  #report(event: string, err: unknown): void {
    this.#logger.error({ err, event }, `a listener of "${event}" threw`)
  }
}

function isThenable(result: unknown): result is PromiseLike<unknown> {
  return typeof (result as Partial<PromiseLike<unknown>> | undefined | null)?.then === 'function'
}
