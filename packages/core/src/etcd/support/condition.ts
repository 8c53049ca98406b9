import { EtcdRegisterError, invalidOption } from './errors.ts'
import { checkNames } from './option-names.ts'

/** Ends a wait early. */
interface Abort {
  signal: AbortSignal | undefined
  /** What was waited for, and what is known of why it did not come. */
  message(): string
}

const NEVER: Abort = { signal: undefined, message: () => '' }

/** Those who wait for something to become true; `wake()` makes them look again. */
export class Condition {
  readonly #waiting = new Set<() => void>()

  notify(): void {
    for (const look of [...this.#waiting]) look()
  }

  /** Resolves once `check` returns true; rejects with what it throws, or with `ERR_ABORTED`. */
  until(check: () => boolean, { signal, message }: Abort = NEVER): Promise<void> {
    // Many may wait with one signal: that is no leak of it, which Node would warn of.
    const aborted = signal && AbortSignal.any([signal])
    return new Promise((resolve, reject) => {
      const settle = (finish: () => void) => {
        this.#waiting.delete(look)
        aborted?.removeEventListener('abort', look)
        finish()
      }
      const look = () => {
        try {
          if (signal?.aborted) throw new EtcdRegisterError('ERR_ABORTED', message(), { cause: signal.reason })
          if (check()) settle(resolve)
        } catch (error) {
          settle(() => reject(error))
        }
      }
      this.#waiting.add(look)
      aborted?.addEventListener('abort', look)
      look()
    })
  }
}

/** Of what waits: the signal that ends it. Throws `ERR_INVALID_OPTION`. */
export function signalOf(options: { signal?: AbortSignal | undefined }): AbortSignal | undefined {
  checkNames('options of ready()', options, ['signal'])
  const { signal } = options
  if (signal !== undefined && typeof signal?.aborted !== 'boolean')
    throw invalidOption('signal', 'an AbortSignal', signal)
  return signal
}
