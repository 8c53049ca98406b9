import type { EtcdRegisterError } from '../support/errors.ts'
import type { KeyEvent, KeyValue } from '../wire/key-value.ts'

/** All keys of a range, one by one. What is never `done` is dropped. */
export interface KeyListing {
  /** The entry is not kept. */
  add(entry: KeyValue): void
  /** That was all, as of `revision`. */
  done(revision: number): void
}

/** What a watch keeps current: the keys of one range at one revision. */
export interface WatchedKeys {
  readonly size: number
  /** mod_revision of a key that is held. */
  revisionOf(key: string): number | undefined
  /** Whether an entry has the value that is held. Left out where revisions are enough. */
  holds?(entry: KeyValue): boolean
  /** Starts to take in all keys of the range anew; nothing changes before it is complete. */
  list(): KeyListing
  /** What happened since, in order. */
  apply(events: readonly KeyEvent[]): void
  /**
   * `false` while they cannot be kept current; `silentFor`: ms since they last were. `true` once they are. Left out where
   * nobody asks.
   */
  sync?(fresh: boolean, silentFor: number): void
  /** The watch is created, or created again after a failure. Left out where nobody asks. */
  watched?(): void
  /** Something went wrong; the watch is tried again. */
  failed(error: EtcdRegisterError): void
}
