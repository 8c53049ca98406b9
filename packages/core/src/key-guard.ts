import type { KeyEvent, KeyValue, WatchedKeys } from './etcd/key-value.ts'

/** Starts to follow a key from the revision after `revision` on; returns the end of it. */
export type KeyWatcher = (key: string, keys: WatchedKeys, revision: number) => () => void

/** Sees what becomes of one key of ours; `found` is `undefined` when it is gone. */
export class KeyGuard implements WatchedKeys {
  readonly #key: string
  readonly #observe: (found: KeyValue | undefined, revision: number) => void
  #revision: number | undefined
  readonly close: () => void

  constructor(
    watch: KeyWatcher,
    key: string,
    revision: number,
    observe: (found: KeyValue | undefined, revision: number) => void,
  ) {
    this.#key = key
    this.#observe = observe
    this.#revision = revision
    this.close = watch(key, this, revision)
  }

  get size(): number {
    return this.#revision === undefined ? 0 : 1
  }

  revisionOf(key: string): number | undefined {
    return key === this.#key ? this.#revision : undefined
  }

  reset(entries: readonly KeyValue[], revision: number): void {
    const found = entries.find(({ key }) => key === this.#key)
    if (found?.revision === this.#revision) return
    this.#revision = found?.revision
    this.#observe(found, found?.revision ?? revision)
  }

  apply(events: readonly KeyEvent[]): void {
    const last = events.at(-1)!
    this.#revision = last.type === 'put' ? last.revision : undefined
    this.#observe(last.type === 'put' ? last : undefined, last.revision)
  }

  sync(): void {}

  failed(): void {}
}
