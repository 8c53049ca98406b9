import type { EtcdRegisterError } from '../etcd/support/errors.ts'
import type { KeyListing, WatchedKeys } from '../etcd/watch/watched-keys.ts'
import type { KeyEvent, KeyValue } from '../etcd/wire/key-value.ts'

/** Starts to follow a key from the revision after `revision` on; returns the end of it. */
export type KeyWatcher = (key: string, keys: WatchedKeys, revision: number) => () => void

/** `found` is `undefined` where the key is gone. */
export interface KeyObserver {
  /** An event at this revision. */
  changed(found: KeyValue | undefined, revision: number): void
  /**
   * The key after a gap. That may be older than our last write, and the store may have been restored: only a read tells,
   * not which revision is larger.
   */
  listed(found: KeyValue | undefined): void
  /** The watch failed. Changes of the key are missed until `watched()`. */
  failed?(error: EtcdRegisterError): void
  watched?(): void
}

/** Sees what becomes of one key of ours, from what is known of it on. */
export class OwnedKeyWatch implements WatchedKeys {
  readonly #key: string
  readonly #observer: KeyObserver
  /** mod_revision of the key, as far as it was seen. */
  #revision: number | undefined
  readonly close: () => void

  constructor(
    watch: KeyWatcher,
    key: string,
    { revision, present }: { revision: number; present: boolean },
    observer: KeyObserver,
  ) {
    this.#key = key
    this.#observer = observer
    this.#revision = present ? revision : undefined
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
      done: () => {
        this.#revision = found?.revision
        this.#observer.listed(found)
      },
    }
  }

  apply(events: readonly KeyEvent[]): void {
    const last = events.at(-1)!
    const found = last.type === 'put' ? last : undefined
    this.#revision = found?.revision
    this.#observer.changed(found, last.revision)
  }

  watched(): void {
    this.#observer.watched?.()
  }

  failed(error: EtcdRegisterError): void {
    this.#observer.failed?.(error)
  }
}
