import { ABSENT, type Known, readKeys, writeOwned } from '../etcd/client/compare-and-write.ts'
import type { Connection } from '../etcd/client/connection.ts'
import type { EtcdRegisterError } from '../etcd/support/errors.ts'
import type { KeyValue } from '../etcd/wire/key-value.ts'
import type { Entry, ResolvedEntry } from '../formats/index.ts'
import { type KeyWatcher, OwnedKey } from './owned-key.ts'

export interface InstanceKeysDeps {
  connection: Connection
  /** Follows a key; how, this side does not know. */
  watchKey: KeyWatcher
}

/** Leases that are remembered: nothing here grows with the number of losses. */
const MOST_LEASES = 10

function remember(leases: Set<string>, lease: string): void {
  leases.add(lease)
  const [oldest] = leases
  if (leases.size > MOST_LEASES) leases.delete(oldest!)
}

/** A key that somebody else has, and under which lease. */
export interface Taken {
  key: string
  lease: string
}

/** Hears what becomes of the keys, but for what we do ourselves. */
export interface KeysListener {
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

/** The keys of one instance: written together, watched each, and only touched where they are ours. */
export class InstanceKeys {
  readonly #deps: InstanceKeysDeps
  readonly #listener: KeysListener
  /** Every key that we may have written, by name. */
  readonly #keys = new Map<string, OwnedKey>()
  /** What was seen while a write was under way; its answer says what of it is news. */
  readonly #unseen: (() => void)[] = []
  /** Our leases: the last one that something was written under, and those that were tried since. */
  readonly #leases = new Set<string>()
  /** Leases of others that had our keys before us. A restored store can have them there again. */
  readonly #older = new Set<string>()
  /** Whether a list showed a key in another state than ours: until the keys are read, no event counts. */
  #unclear = false
  /** Revision of our first write; what was written before it is older than we. */
  #since: number | undefined
  #writing = false
  #closed = false

  constructor(deps: InstanceKeysDeps, listener: KeysListener) {
    this.#deps = deps
    this.#listener = listener
  }

  get names(): string[] {
    return this.#wanted.map(({ name }) => name)
  }

  get #wanted(): OwnedKey[] {
    return [...this.#keys.values()].filter(({ wanted }) => wanted)
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
      for (const [name, found] of all) this.#take(this.#keys.get(name)!, found)
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
    const taken = this.#taken
    if (taken !== undefined) return taken
    const isNew = !this.#leases.has(lease)
    if (isNew) this.#forgetGivenUp(wanted)
    remember(this.#leases, lease)
    const before = this.#wanted
    const deletes = this.#except(wanted)
    const puts = wanted.filter(put => !this.#has(put, lease))
    // The first one is asked all the same: its revision says who is older.
    if (puts.length === 0 && deletes.length === 0 && this.#since !== undefined) return undefined
    const written = puts.map(({ key }) => this.#want(key))
    const mayTake = (found: KeyValue) => {
      if (this.#isOurs(found)) return true
      if (!(this.#isPast(found) || this.#isOlder(found)) || !takesOver(found)) return false
      remember(this.#older, found.lease)
      return true
    }
    const result = await this.#transact(puts, deletes, lease, mayTake)
    if ('refused' in result) {
      // It may not have come as far as the answer: what it still says is old.
      this.#keys.get(result.refused.key)!.unwatch()
      return this.#give(result.refused)
    }
    const { revision } = result
    this.#since ??= revision
    this.#leases.clear()
    this.#leases.add(lease)
    for (const key of written) {
      key.had = true
      this.#watch(key, { revision, present: true })
    }
    for (const key of deletes) {
      key.wanted = false
      key.deletedAt = revision
      // A late write of the lease before goes with that lease.
      if (!(isNew && before.includes(key))) this.#watch(key, { revision, present: false })
    }
    return undefined
  }

  /** Deletes all that is still ours. */
  async withdraw(): Promise<void> {
    for (;;) {
      // A key that we are about to take over is not ours to delete before we did.
      for (const key of this.#wanted) if (!this.#isOurs(key.stands)) key.stands = ABSENT
      const deletes = this.#wanted.filter(({ stands }) => stands !== ABSENT)
      if (deletes.length === 0) return
      const result = await this.#transact([], deletes, '0', found => this.#leases.has(found.lease))
      if ('refused' in result) {
        this.#keys.get(result.refused.key)!.stands = ABSENT
        continue
      }
      for (const key of deletes) key.deletedAt = result.revision
      return
    }
  }

  /** As `write()`, but only over what stands under this very lease, and without a watch. */
  async announce(puts: readonly Entry[], lease: string): Promise<void> {
    await this.#transact(puts, this.#except(puts), lease, found => found.lease === lease)
  }

  /** Nothing is heard of them any more. */
  close(): void {
    this.#closed = true
    for (const key of this.#keys.values()) key.unwatch()
  }

  async #transact(
    puts: readonly ResolvedEntry[],
    deletes: readonly OwnedKey[],
    lease: string,
    mayTake: (found: KeyValue) => boolean,
  ): Promise<{ revision: number } | { refused: KeyValue }> {
    const known = new Map<string, Known>(this.#wanted.map(({ name, stands }) => [name, stands]))
    const names = deletes.map(({ name }) => name)
    const write = { puts, deletes: names, lease, known, mayTake }
    try {
      return await writeOwned(this.#deps.connection, write)
    } finally {
      for (const key of this.#keys.values()) key.stands = known.get(key.name) ?? key.stands
    }
  }

  /** Whether it stands there, as far as we know: each write is an event for every reader. */
  #has({ key, value }: Entry, lease: string): boolean {
    const stands = this.#keys.get(key)?.stands
    return stands?.lease === lease && stands.value.equals(Buffer.from(value))
  }

  #except(puts: readonly Entry[]): OwnedKey[] {
    return this.#wanted.filter(({ name }) => !puts.some(put => put.key === name))
  }

  #want(name: string): OwnedKey {
    const key = this.#keys.get(name) ?? new OwnedKey(name)
    this.#keys.set(name, key)
    if (!key.wanted) key.stands = ABSENT
    key.wanted = true
    return key
  }

  /** With a new lease: what the one before has not written, or writes late, goes with that one. */
  #forgetGivenUp(puts: readonly Entry[]): void {
    for (const key of this.#keys.values()) {
      if (puts.some(({ key: name }) => name === key.name)) continue
      key.unwatch()
      if (!key.wanted || key.stands === ABSENT) this.#keys.delete(key.name)
    }
  }

  get #taken(): Taken | undefined {
    for (const { name, takenBy } of this.#keys.values())
      if (takenBy !== undefined) return { key: name, lease: takenBy }
    return undefined
  }

  #isOurs({ lease }: Known): boolean {
    return lease === '0' || this.#leases.has(lease)
  }

  /** Also a key that is wanted later than others, such as one that says nothing of a weight of 0. */
  #isOlder({ key, revision }: KeyValue): boolean {
    return this.#since === undefined || (revision <= this.#since && !this.#keys.get(key)!.had)
  }

  /**
   * From before our own write, though it is there after it: in one history a key's revision only grows, so the store was
   * restored. Or of whom we had the key, who wrote it again in a restored store, where we never deleted it.
   */
  #isPast({ key, lease, revision, created }: KeyValue): boolean {
    const { revision: ours } = this.#keys.get(key)!.stands
    return revision <= ours || (created <= ours && this.#older.has(lease))
  }

  #give(found: KeyValue): Taken {
    const key = this.#keys.get(found.key)!
    key.give(found)
    this.#watch(key, { revision: found.revision, present: true })
    return { key: key.name, lease: found.lease }
  }

  /** From our own write on, whatever becomes of the key is seen. */
  #watch(key: OwnedKey, seen: { revision: number; present: boolean }): void {
    if (key.isWatched || this.#closed) return
    let current = true
    const observe = (what: () => void) => {
      const look = () => {
        if (current && !this.#closed) what()
      }
      if (this.#writing) this.#unseen.push(look)
      else look()
    }
    key.watch(
      (name, keys, revision) => {
        const end = this.#deps.watchKey(name, keys, revision)
        return () => {
          current = false
          end()
        }
      },
      seen,
      {
        changed: (found, revision) => observe(() => this.#changed(key, found, revision)),
        listed: found => observe(() => this.#listed(key, found)),
        failed: error => !this.#closed && this.#listener.unwatched(key.name, error),
        watched: () => !this.#closed && this.#listener.watched(key.name),
      },
    )
  }

  #changed(key: OwnedKey, found: KeyValue | undefined, revision: number): void {
    if (revision <= key.deletedAt) return
    if (!key.wanted) {
      this.#cameLate(key, found)
      return
    }
    if (this.#unclear || revision <= key.stands.revision) return
    if (found !== undefined && !this.#isOurs(found)) {
      // Of whom we are about to take it back, who wrote it once more before that.
      if (found.lease === key.stands.lease) key.took(found)
      else this.#listener.taken(this.#give(found))
      return
    }
    // That it is free is news, that we withdrew it is not.
    if (!this.#isFree(key) && found === undefined && key.stands === ABSENT) return
    key.took(found)
    this.#listener.changed(found)
  }

  #listed(key: OwnedKey, found: KeyValue | undefined): void {
    this.#listener.listed()
    // The store may have been restored and give revisions out again.
    key.deletedAt = 0
    if (!key.wanted) {
      this.#cameLate(key, found)
      return
    }
    const isTaken = key.takenBy !== undefined
    if (isTaken ? found !== undefined && !this.#isOurs(found) : !key.differs(found)) return
    this.#unclear = true
    this.#listener.unclear()
  }

  /** A key that was given up: what is there of ours is a write that came late, or from a store that was restored. */
  #cameLate(key: OwnedKey, found: KeyValue | undefined): void {
    if (found === undefined || !this.#leases.has(found.lease)) return
    key.wanted = true
    key.took(found)
    this.#listener.unclear()
  }

  #take(key: OwnedKey, found: KeyValue | undefined): void {
    if (found === undefined || this.#isOurs(found)) {
      if (!this.#isFree(key) && !key.differs(found)) return
    } else {
      if (key.takenBy !== undefined) return
      if (!this.#isPast(found)) {
        this.#listener.taken(this.#give(found))
        return
      }
      remember(this.#older, found.lease)
    }
    key.took(found)
    this.#listener.changed(found)
  }

  /** Whether somebody newer had it until now. */
  #isFree(key: OwnedKey): boolean {
    const wasTaken = key.takenBy !== undefined
    key.takenBy = undefined
    return wasTaken
  }
}
