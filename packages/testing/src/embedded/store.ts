import { crc32 } from 'node:zlib'
import { refused } from './errors.ts'
import { KeyIndex } from './key-index.ts'
import { type KeyRange, type KeyText, keyText } from './key-range.ts'
import type { Rules } from './version.ts'
import type { Int64, KeyValue } from './wire.ts'

export const NO_LEASE: Int64 = '0'

const EMPTY = Buffer.alloc(0)

/** What one put or delete did to one key. */
export interface Change {
  readonly key: KeyText
  /** Version 0 after a delete. */
  readonly kv: KeyValue
  readonly before: KeyValue | undefined
}

/** Everything a store can be asked. */
export interface Reader {
  /** The one that reads are of unless they name another. */
  readonly revision: number
  get(key: Buffer): KeyValue | undefined
  list(range: KeyRange, revision?: number): KeyValue[]
}

/** Several writes that make one revision. */
export interface Writer extends Reader {
  put(key: Buffer, value: Buffer, lease: Int64): void
  delete(range: KeyRange): KeyValue[]
}

/** Multi-version: each write makes a revision, and all since the last compaction can be read. */
export class Store implements Reader {
  #index = new KeyIndex()
  /** The changes of each revision from `#logStart` on, without gaps. */
  #log: (readonly Change[])[] = []
  #logStart = 2
  #revision = 1
  #compacted = -1
  readonly #rules: Rules
  readonly #beforeCommit: (changes: readonly Change[]) => void
  readonly #afterCommit: () => void

  /** What happens before a commit can still refuse it, if it has changed nothing then. */
  constructor(rules: Rules, beforeCommit: (changes: readonly Change[]) => void, afterCommit: () => void) {
    this.#rules = rules
    this.#beforeCommit = beforeCommit
    this.#afterCommit = afterCommit
  }

  get revision(): number {
    return this.#revision
  }

  /** The oldest revision that can be read; -1 before the first compaction. */
  get compacted(): number {
    return this.#compacted
  }

  get(key: Buffer): KeyValue | undefined {
    return this.#index.get(keyText(key), this.#revision)
  }

  /** A key as it was at a revision, unless that is compacted. */
  at(key: KeyText, revision: number): KeyValue | undefined {
    return revision < this.#compacted ? undefined : this.#index.get(key, revision)
  }

  list(range: KeyRange, revision: number = this.#revision): KeyValue[] {
    const found: KeyValue[] = []
    this.#index.each(range, revision, state => found.push(state))
    return found
  }

  /** Refuses a revision that is not there yet or no longer. */
  checkReadable(revision: number): void {
    if (revision > this.#revision) throw refused('futureRevision')
    if (revision < this.#compacted) throw refused('compacted')
  }

  /** Of all that is kept up to a revision: the same for stores with the same history, but not that of a real etcd. */
  hash(revision: number): number {
    this.checkReadable(revision)
    let hash = 0
    this.#index.eachState(revision, ({ key, value, mod_revision, version, lease }) => {
      for (const part of [key, value, `${mod_revision} ${version} ${lease}`]) hash = crc32(part, hash)
    })
    return hash
  }

  /** Writes what `run` writes as one revision, or as none if that is nothing. Whatever throws leaves no trace. */
  write<Result>(run: (writer: Writer) => Result): Result {
    const changes: Change[] = []
    let result: Result
    try {
      result = run(this.#writer(changes))
      if (changes.length > 0) this.#beforeCommit(changes)
    } catch (error) {
      for (const { key } of changes.reverse()) this.#index.removeLast(key)
      throw error
    }
    if (changes.length > 0) {
      this.#revision += 1
      this.#log.push(changes)
      this.#afterCommit()
    }
    return result
  }

  /** What happened at a revision, unless that is compacted or still to come. */
  changesAt(revision: number): readonly Change[] | undefined {
    return this.#log[revision - this.#logStart]
  }

  compact(revision: number): void {
    if (revision <= this.#compacted) throw refused('compacted')
    if (revision > this.#revision) throw refused('futureRevision')
    this.#compacted = revision
    this.#index.compact(revision)
    this.#log.splice(0, revision - this.#logStart)
    this.#logStart = Math.max(this.#logStart, revision)
    // etcd keeps what this very revision left of each key
    if (this.#log.length > 0 && this.#logStart === revision) {
      const last = new Map(this.#log[0]!.map(change => [change.key, change]))
      this.#log[0] = [...last.values()].filter(
        ({ kv }) => kv.version > 0 || this.#rules.keepsCompactedDeletes,
      )
    }
  }

  #writer(changes: Change[]): Writer {
    const store = this
    const index = this.#index
    const writing = this.#revision + 1

    function record(key: KeyText, kv: KeyValue, before: KeyValue | undefined) {
      index.add(key, kv)
      changes.push({ key, kv, before })
    }

    return {
      get revision() {
        return changes.length > 0 ? writing : store.#revision
      },
      get: key => index.get(keyText(key), writing),
      list: (range, revision = writing) => store.list(range, revision),
      put(key, value, lease) {
        const text = keyText(key)
        const before = index.get(text, writing)
        const create_revision = before?.create_revision ?? writing
        const version = (before?.version ?? 0) + 1
        record(text, { key, create_revision, mod_revision: writing, version, value, lease }, before)
      },
      delete(range) {
        const deleted = store.list(range, writing)
        for (const before of deleted) {
          const { key } = before
          const none = { create_revision: 0, version: 0, value: EMPTY, lease: NO_LEASE }
          record(keyText(key), { key, mod_revision: writing, ...none }, before)
        }
        return deleted
      },
    }
  }
}
