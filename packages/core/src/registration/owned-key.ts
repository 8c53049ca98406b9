import { ABSENT, isKnown, type Known, knownOf } from '../etcd/client/compare-and-write.ts'
import type { EtcdRegisterError } from '../etcd/support/errors.ts'
import type { KeyListing, WatchedKeys } from '../etcd/watch/watched-keys.ts'
import type { KeyEvent, KeyValue } from '../etcd/wire/key-value.ts'

/** Starts to follow a key from the revision after `revision` on; returns the end of it. */
export type KeyWatcher = (key: string, keys: WatchedKeys, revision: number) => () => void

/** `found` is `undefined` where the key is gone. */
export interface OwnedKeyListener {
  /** An event at this revision. */
  changed(found: KeyValue | undefined, revision: number): void
  /**
   * The key after a gap. That may be older than our last write, and the store may have been restored: only a read tells,
   * not which revision is larger.
   */
  listed(found: KeyValue | undefined): void
  /** The watch failed. Changes of the key are missed until `watched()`. */
  failed(error: EtcdRegisterError): void
  watched(): void
}

/** All that is known of one key of an instance. Its watch sees what becomes of it, from our own write on. */
export class OwnedKey implements WatchedKeys {
  readonly name: string
  /** How it stands, as far as we know. */
  stands: Known = ABSENT
  /** Whether the instance wants it now; one that it gave up is watched for a write that comes late. */
  wanted = true
  /** etcd had it from us once: from then on somebody else there is the newer one. */
  had = false
  /** The lease of somebody newer who has it, last we heard. */
  takenBy: string | undefined
  /** Revision at which we deleted it last: older events are ignored. */
  deletedAt = 0
  /** mod_revision, as far as the watch has seen. */
  #revision: number | undefined
  #listener: OwnedKeyListener | undefined
  #unwatch = () => {}

  constructor(name: string) {
    this.name = name
  }

  /** What it was when we read it is news. */
  differs(found: KeyValue | undefined): boolean {
    return !isKnown(found, this.stands)
  }

  took(found: KeyValue | undefined): void {
    this.stands = knownOf(found)
  }

  /** Somebody newer has it. Not known as it is: by that we could overwrite and delete it. */
  give({ lease }: KeyValue): void {
    this.takenBy = lease
    this.stands = ABSENT
  }

  get isWatched(): boolean {
    return this.#listener !== undefined
  }

  /** Hears of what comes after a revision at which it was there, or was not. */
  watch(watcher: KeyWatcher, seen: { revision: number; present: boolean }, listener: OwnedKeyListener): void {
    this.#revision = seen.present ? seen.revision : undefined
    this.#listener = listener
    this.#unwatch = watcher(this.name, this, seen.revision)
  }

  unwatch(): void {
    this.#unwatch()
    this.#unwatch = () => {}
    this.#listener = undefined
  }

  get size(): number {
    return this.#revision === undefined ? 0 : 1
  }

  revisionOf(key: string): number | undefined {
    return key === this.name ? this.#revision : undefined
  }

  list(): KeyListing {
    let found: KeyValue | undefined
    return {
      add: entry => {
        if (entry.key === this.name) found = entry
      },
      done: () => {
        this.#revision = found?.revision
        this.#listener?.listed(found)
      },
    }
  }

  apply(events: readonly KeyEvent[]): void {
    const last = events.at(-1)!
    const found = last.type === 'put' ? last : undefined
    this.#revision = found?.revision
    this.#listener?.changed(found, last.revision)
  }

  watched(): void {
    this.#listener?.watched()
  }

  failed(error: EtcdRegisterError): void {
    this.#listener?.failed(error)
  }
}
