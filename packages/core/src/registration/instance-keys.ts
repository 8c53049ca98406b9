import {
  ABSENT,
  isKnown,
  type Known,
  knownOf,
  readKeys,
  writeOwned,
} from '../etcd/client/compare-and-write.ts'
import type { Connection } from '../etcd/client/connection.ts'
import type { LeaseKeeper, LeaseListener } from '../etcd/lease/lease.ts'
import type { EtcdRegisterError } from '../etcd/support/errors.ts'
import type { KeyValue } from '../etcd/wire/key-value.ts'
import type { Entry, ResolvedEntry } from '../formats/index.ts'
import { type KeyWatcher, OwnedKeyWatch } from './owned-key-watch.ts'
import type { RetiredKeys } from './retired-keys.ts'

export interface InstanceKeysDeps {
  connection: Connection
  lease: LeaseKeeper
  /** Follows a key; how, the write side does not know. */
  watchKey: KeyWatcher
  retired: RetiredKeys
}

/** A key that somebody else has, and under which lease. */
export interface Taken {
  key: string
  lease: string
}

/** Hears what becomes of the keys, but for what we do ourselves. */
export interface KeysObserver {
  /** One of them is watched again, after the connection broke or the lists were compared. */
  listed(): void
  /** A write has to look: one of ours came late, or a list shows a key in another state than ours. */
  unclear(): void
  /** Somebody newer has a key now. */
  taken(by: Taken): void
  /** It is not as we left it; `undefined`: gone. */
  changed(found: KeyValue | undefined): void
  /** The watch of a key failed, or works again. */
  unwatched(key: string, error: EtcdRegisterError): void
  watched(key: string): void
}

/** The keys of one instance: written together, guarded each, deleted together, and only where they are ours. */
export class InstanceKeys {
  readonly #deps: InstanceKeysDeps
  readonly #observer: KeysObserver
  /** Every key that we may have written, and how it stands. */
  readonly #known = new Map<string, Known>()
  readonly #guards = new Map<string, OwnedKeyWatch>()
  /** What was seen while a write was under way; its answer says what of it is news. */
  readonly #unseen: (() => void)[] = []
  /** Keys that etcd had from us once: from then on somebody else there is the newer one. */
  readonly #had = new Set<string>()
  /** Keys that somebody newer has, last we heard, by their names; while there is one we need not try. */
  readonly #taken = new Map<string, Taken>()
  /** Leases of others that had our keys before us. A restored store can have them there again. */
  readonly #older = new Set<string>()
  /** Revision at which we deleted each key last: older events are ignored. */
  readonly #deleted = new Map<string, number>()
  /** Whether a list showed a key in another state than ours: until the keys are read, no event counts. */
  #unclear = false
  /** Revision of our first write; what was written before it is older than we. */
  #since: number | undefined
  /** The one that was last written under, or tried to. */
  #lease: string | undefined
  #writing = false
  #closed = false

  constructor(deps: InstanceKeysDeps, observer: KeysObserver) {
    this.#deps = deps
    this.#observer = observer
  }

  get names(): string[] {
    return [...this.#known.keys()]
  }

  /** What happens to the keys meanwhile is heard of afterwards. */
  async during(write: () => Promise<void>): Promise<void> {
    this.#writing = true
    try {
      await write()
    } finally {
      this.#writing = false
      for (const look of this.#unseen.splice(0)) look()
    }
  }

  /** Where a list showed another state than ours: takes in all keys as they are now. */
  async settle(): Promise<void> {
    if (!this.#unclear) return
    this.#unclear = false
    try {
      const all = await readKeys(this.#deps.connection, this.names)
      for (const [key, found] of all) this.#take(key, found)
    } catch (error) {
      this.#unclear = true
      throw error
    }
  }

  /**
   * In one transaction: all of `puts` that do not stand there yet, and no other key. Over what is somebody else's only if
   * that is older than we and `takesOver` says so; gives the key that is, and then nothing was written.
   */
  async write(
    wanted: readonly ResolvedEntry[],
    lease: string,
    takesOver: (found: KeyValue) => boolean,
  ): Promise<Taken | undefined> {
    const { connection, retired } = this.#deps
    const [taken] = this.#taken.values()
    if (taken !== undefined) return taken
    const deletes = this.#except(wanted)
    const past = this.#underPast(lease, wanted)
    const puts = wanted.filter(put => !this.#has(put, lease))
    // The first one is asked all the same: its revision says who is older.
    if (puts.length === 0 && deletes.length === 0 && this.#since !== undefined) return undefined
    for (const { key } of puts) {
      if (this.#known.has(key)) continue
      this.#known.set(key, ABSENT)
      retired.release(key)
    }
    const mayTake = (found: KeyValue) => {
      if (this.#isOurs(found)) return true
      if (!(this.#isPast(found) || this.#isOlder(found)) || !takesOver(found)) return false
      this.#older.add(found.lease)
      return true
    }
    const result = await writeOwned(connection, { puts, deletes, lease, known: this.#known, mayTake })
    if ('refused' in result) {
      // It may not have come as far as the answer: what it still says is old.
      this.#unguard(result.refused.key)
      return this.#give(result.refused)
    }
    const { revision } = result
    this.#since ??= revision
    for (const { key } of puts) {
      this.#had.add(key)
      this.#guard(key, { revision, present: true })
    }
    for (const key of deletes) {
      this.#known.delete(key)
      this.#deleted.set(key, revision)
      if (!past.has(key)) this.#guard(key, { revision, present: false })
    }
    return undefined
  }

  /** Deletes all that is still ours. */
  async withdraw(): Promise<void> {
    const { connection, lease } = this.#deps
    const known = this.#known
    const mayTake = (found: KeyValue) => lease.owns(found.lease)
    for (;;) {
      this.#forgetOthers()
      const deletes = this.names.filter(key => known.get(key) !== ABSENT)
      if (deletes.length === 0) return
      const result = await writeOwned(connection, { puts: [], deletes, lease: '0', known, mayTake })
      if ('refused' in result) {
        known.set(result.refused.key, ABSENT)
        continue
      }
      for (const key of deletes) this.#deleted.set(key, result.revision)
      return
    }
  }

  /** As `write()`, but only over what stands under this very lease, and without a guard. */
  async announce(puts: readonly Entry[], lease: string): Promise<void> {
    const deletes = this.#except(puts)
    const mayTake = (found: KeyValue) => found.lease === lease
    await writeOwned(this.#deps.connection, { puts, deletes, lease, known: this.#known, mayTake })
  }

  /** Nothing is heard of them any more. */
  close(): void {
    this.#closed = true
    for (const guard of this.#guards.values()) guard.close()
  }

  /** Resolves when they are gone for good, those too that a late write may bring; or says that nobody knows. */
  async remove(leaver: LeaseListener, refused: (error: EtcdRegisterError) => void): Promise<boolean> {
    for (const key of this.#guards.keys()) if (!this.#known.has(key)) this.#known.set(key, ABSENT)
    this.#forgetOthers()
    return this.#deps.retired.remove(this.#known, leaver, refused)
  }

  /** Whether it stands there, as far as we know: each write is an event for every reader. */
  #has({ key, value }: Entry, lease: string): boolean {
    const known = this.#known.get(key)
    return known?.lease === lease && known.value.equals(Buffer.from(value))
  }

  #except(puts: readonly Entry[]): string[] {
    return this.names.filter(key => !puts.some(put => put.key === key))
  }

  /** A key that we are about to take over is not ours to delete before we did. */
  #forgetOthers(): void {
    for (const [key, known] of this.#known) if (!this.#isOurs(known)) this.#known.set(key, ABSENT)
  }

  #isOurs({ lease }: Known): boolean {
    return lease === '0' || this.#deps.lease.owns(lease)
  }

  /** Also a key that is wanted later than others, such as one that says nothing of a weight of 0. */
  #isOlder({ key, revision }: KeyValue): boolean {
    return this.#since === undefined || (revision <= this.#since && !this.#had.has(key))
  }

  /**
   * From before our own write, though it is there after it: in one history a key's revision only grows, so the store was
   * restored. Or of whom we had the key, who wrote it again in a restored store, where we never deleted it.
   */
  #isPast({ key, lease, revision, created }: KeyValue): boolean {
    const { revision: ours } = this.#known.get(key) ?? ABSENT
    return revision <= ours || (created <= ours && this.#older.has(lease))
  }

  /** With a new lease, the keys of the one before: they need no guard, since a late write goes with that lease. */
  #underPast(lease: string, puts: readonly Entry[]): ReadonlySet<string> {
    if (this.#lease === lease) return new Set()
    this.#lease = lease
    for (const key of this.#guards.keys()) {
      if (puts.some(put => put.key === key)) continue
      this.#unguard(key)
    }
    return new Set(this.#known.keys())
  }

  #give({ key, revision, lease }: KeyValue): Taken {
    const taken = { key, lease }
    this.#taken.set(key, taken)
    // Not known as it is: by that we could overwrite and delete it.
    this.#known.set(key, ABSENT)
    this.#guard(key, { revision, present: true })
    return taken
  }

  /** From our own write on, whatever becomes of the key is seen. */
  #guard(key: string, seen: { revision: number; present: boolean }): void {
    if (this.#guards.has(key) || this.#closed) return
    const isCurrent = () => this.#guards.get(key) === guard && !this.#closed
    const seeing = (observe: () => void) => {
      const look = () => {
        if (isCurrent()) observe()
      }
      if (this.#writing) this.#unseen.push(look)
      else look()
    }
    const guard: OwnedKeyWatch = new OwnedKeyWatch(this.#deps.watchKey, key, seen, {
      changed: (found, revision) => seeing(() => this.#changed(key, found, revision)),
      listed: found => seeing(() => this.#listed(key, found)),
      failed: error => isCurrent() && this.#observer.unwatched(key, error),
      watched: () => isCurrent() && this.#observer.watched(key),
    })
    this.#guards.set(key, guard)
  }

  #unguard(key: string): void {
    this.#guards.get(key)?.close()
    this.#guards.delete(key)
  }

  #changed(key: string, found: KeyValue | undefined, revision: number): void {
    if (revision <= (this.#deleted.get(key) ?? 0)) return
    const known = this.#known.get(key)
    if (known === undefined) {
      this.#unwanted(key, found)
      return
    }
    if (this.#unclear || revision <= known.revision) return
    if (found !== undefined && !this.#isOurs(found)) {
      // Of whom we are about to take it back, who wrote it once more before that.
      if (found.lease === known.lease) this.#known.set(key, knownOf(found))
      else this.#observer.taken(this.#give(found))
      return
    }
    // That it is free is news, that we withdrew it is not.
    if (!this.#taken.delete(key) && found === undefined && known === ABSENT) return
    this.#known.set(key, knownOf(found))
    this.#observer.changed(found)
  }

  #listed(key: string, found: KeyValue | undefined): void {
    this.#observer.listed()
    // The store may have been restored and give revisions out again.
    this.#deleted.delete(key)
    const known = this.#known.get(key)
    if (known === undefined) {
      this.#unwanted(key, found)
      return
    }
    if (this.#taken.has(key) ? found !== undefined && !this.#isOurs(found) : isKnown(found, known)) return
    this.#unclear = true
    this.#observer.unclear()
  }

  /** What is there of ours is a write that came late, or from a store that was restored. */
  #unwanted(key: string, found: KeyValue | undefined): void {
    if (found === undefined || !this.#deps.lease.owns(found.lease)) return
    this.#known.set(key, knownOf(found))
    this.#observer.unclear()
  }

  #take(key: string, found: KeyValue | undefined): void {
    if (found === undefined || this.#isOurs(found)) {
      if (!this.#taken.delete(key) && isKnown(found, this.#known.get(key)!)) return
    } else {
      if (this.#taken.has(key)) return
      if (!this.#isPast(found)) {
        this.#observer.taken(this.#give(found))
        return
      }
      this.#older.add(found.lease)
    }
    this.#known.set(key, knownOf(found))
    this.#observer.changed(found)
  }
}
