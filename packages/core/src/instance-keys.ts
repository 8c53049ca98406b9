import type { EtcdRegisterError } from './errors.ts'
import type { Connection } from './etcd/connection.ts'
import type { KeyValue } from './etcd/key-value.ts'
import { ABSENT, type Known, knownOf, writeOwned } from './etcd/owned-keys.ts'
import type { Entry } from './formats/index.ts'
import { KeyGuard, type KeyWatcher } from './key-guard.ts'
import type { LeaseKeeper, LeaseUser } from './lease.ts'
import type { RetiredKeys } from './retired-keys.ts'

export interface InstanceKeysDeps {
  connection: Connection
  lease: LeaseKeeper
  /** Follows a key; how, the write side does not know. */
  watchKey: KeyWatcher
  retired: RetiredKeys
}

/** Hears what becomes of the keys, but for what we do ourselves. */
export interface KeysObserver {
  /** Only a write can tell whether all is well: one of ours came late, or the store went back. */
  unclear(): void
  /** Another process has this key now. */
  taken(key: string): void
  /** It is not as we left it; `undefined`: gone. */
  changed(found: KeyValue | undefined): void
}

/** The keys of one instance: written together, guarded each, deleted together, and only where they are ours. */
export class InstanceKeys {
  readonly #deps: InstanceKeysDeps
  readonly #observer: KeysObserver
  /** Every key that we may have written, and how it stands. */
  readonly #known = new Map<string, Known>()
  readonly #guards = new Map<string, KeyGuard>()
  /** What was seen while a write was under way; its answer says what of it is news. */
  readonly #unseen: (() => void)[] = []
  /** Keys that etcd had from us once: from then on somebody else there is the newer one. */
  readonly #had = new Set<string>()
  /** Keys that somebody newer has, last we heard; while there is one we need not try. */
  readonly #taken = new Set<string>()
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

  /**
   * In one transaction: all of `puts`, and no other key. Over what is somebody else's only if that is older than we and
   * `takesOver` says so; gives the key that is, and then nothing was written.
   */
  async write(
    puts: readonly Entry[],
    lease: string,
    takesOver: (found: KeyValue) => boolean,
  ): Promise<{ taken: string } | undefined> {
    const { connection, retired } = this.#deps
    const [taken] = this.#taken
    if (taken !== undefined) return { taken }
    const deletes = this.#except(puts)
    const past = this.#underPast(lease, puts)
    for (const { key } of puts) {
      if (this.#known.has(key)) continue
      this.#known.set(key, ABSENT)
      retired.release(key)
    }
    const mayTake = (found: KeyValue) => this.#isOurs(found) || (this.#isOlder(found) && takesOver(found))
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
      const deletes = this.names.filter(key => known.get(key) !== ABSENT)
      if (deletes.length === 0) return
      const result = await writeOwned(connection, { puts: [], deletes, lease: '0', known, mayTake })
      if (!('refused' in result)) return
      known.set(result.refused.key, ABSENT)
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

  /** Resolves when they are gone for good, those too that a late write may bring. */
  async remove(leaver: LeaseUser, refused: (error: EtcdRegisterError) => void): Promise<void> {
    for (const key of this.#guards.keys()) if (!this.#known.has(key)) this.#known.set(key, ABSENT)
    await this.#deps.retired.remove(this.#known, leaver, refused)
  }

  #except(puts: readonly Entry[]): string[] {
    return this.names.filter(key => !puts.some(put => put.key === key))
  }

  #isOurs({ lease }: KeyValue): boolean {
    return lease === '0' || this.#deps.lease.owns(lease)
  }

  /** Also a key that is wanted later than others, such as one that says nothing of a weight of 0. */
  #isOlder({ key, revision }: KeyValue): boolean {
    return this.#since === undefined || (revision <= this.#since && !this.#had.has(key))
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

  #give({ key, revision }: KeyValue): { taken: string } {
    this.#taken.add(key)
    // Not known as it is: by that we could overwrite and delete it.
    this.#known.set(key, ABSENT)
    this.#guard(key, { revision, present: true })
    return { taken: key }
  }

  /** From our own write on, whatever becomes of the key is seen. */
  #guard(key: string, seen: { revision: number; present: boolean }): void {
    if (this.#guards.has(key) || this.#closed) return
    const guard: KeyGuard = new KeyGuard(this.#deps.watchKey, key, seen, (found, revision) => {
      const observe = () => {
        if (this.#guards.get(key) === guard && !this.#closed) this.#observe(key, found, revision)
      }
      if (this.#writing) this.#unseen.push(observe)
      else observe()
    })
    this.#guards.set(key, guard)
  }

  #unguard(key: string): void {
    this.#guards.get(key)?.close()
    this.#guards.delete(key)
  }

  #observe(key: string, found: KeyValue | undefined, revision: number | undefined): void {
    // Whether we wrote before or after the store went back, only a write can tell.
    if (revision === undefined) {
      this.#taken.clear()
      this.#observer.unclear()
      return
    }
    const known = this.#known.get(key)
    if (known === undefined) {
      // Not wanted: what is there of ours is a write that came late.
      if (found === undefined || !this.#deps.lease.owns(found.lease)) return
      this.#known.set(key, knownOf(found))
      this.#observer.unclear()
      return
    }
    if (revision <= known.revision) return
    if (found !== undefined && !this.#isOurs(found)) {
      this.#observer.taken(this.#give(found).taken)
      return
    }
    // That it is free is news, that we withdrew it is not.
    if (!this.#taken.delete(key) && found === undefined && known === ABSENT) return
    this.#known.set(key, knownOf(found))
    this.#observer.changed(found)
  }
}
