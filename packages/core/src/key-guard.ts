import type { KeyEvent, KeyListing, KeyValue, WatchedKeys } from './etcd/key-value.ts'

/** Starts to follow a key from the revision after `revision` on; returns the end of it. */
export type KeyWatcher = (key: string, keys: WatchedKeys, revision: number) => () => void

/**
 * Sees what became of a key at a revision; `found` is `undefined` when it is gone. No revision: the store went back,
 * and none from before says anything any more.
 */
export type KeyObserver = (found: KeyValue | undefined, revision: number | undefined) => void

/** Sees what becomes of one key of ours, from what is known of it on. */
export class KeyGuard implements WatchedKeys {
  readonly #key: string
  readonly #observe: KeyObserver
  /** mod_revision of the key, as far as it was seen. */
  #revision: number | undefined
  /** Up to which revision it was seen. */
  #seen: number
  readonly close: () => void

  constructor(
    watch: KeyWatcher,
    key: string,
    { revision, present }: { revision: number; present: boolean },
    observe: KeyObserver,
  ) {
    this.#key = key
    this.#observe = observe
    this.#revision = present ? revision : undefined
    this.#seen = revision
    this.close = watch(key, this, revision)
  }

  get size(): number {
    return this.#revision === undefined ? 0 : 1
  }

  revisionOf(key: string): number | undefined {
    return key === this.#key ? this.#revision : undefined
  }

  list(): KeyListing {
    let found: KeyValue | undefined
    return {
      add: entry => {
        if (entry.key === this.#key) found = entry
      },
      done: revision => {
        const rewound = revision < this.#seen
        this.#seen = revision
        if (found?.revision === this.#revision && !rewound) return
        this.#revision = found?.revision
        this.#observe(found, rewound ? undefined : (found?.revision ?? revision))
      },
    }
  }

  apply(events: readonly KeyEvent[]): void {
    const last = events.at(-1)!
    this.#seen = last.revision
    this.#revision = last.type === 'put' ? last.revision : undefined
    this.#observe(last.type === 'put' ? last : undefined, last.revision)
  }

  sync(): void {}

  failed(): void {}
}
