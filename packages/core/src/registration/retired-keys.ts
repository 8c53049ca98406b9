import { type Known, knownOf, writeOwned } from '../etcd/client/compare-and-write.ts'
import type { Connection } from '../etcd/client/connection.ts'
import type { LeaseKeeper, LeaseListener } from '../etcd/lease/lease.ts'
import type { Clock } from '../etcd/support/clock.ts'
import type { EtcdRegisterError } from '../etcd/support/errors.ts'
import type { KeyValue } from '../etcd/wire/key-value.ts'
import { type KeyWatcher, OwnedKeyWatch } from './owned-key-watch.ts'

/** How late a write that timed out can reach etcd: TCP goes on sending for a closed socket. In ms. */
const LATEST = 120_000

export interface RetiredKeysDeps {
  connection: Connection
  lease: LeaseKeeper
  clock: Clock
  watchKey: KeyWatcher
}

/**
 * Keys of instances that left while others keep the lease alive: they are deleted, and deleted again should a write
 * from before bring one back, since nothing else ever would.
 */
export class RetiredKeys {
  readonly #deps: RetiredKeysDeps
  readonly #stops = new Map<string, () => void>()

  constructor(deps: RetiredKeysDeps) {
    this.#deps = deps
  }

  /**
   * Resolves when none of them is there, or nobody keeps them alive any more; gives whether we saw them go. `known`: how
   * they stand as far as we know; `leaver`: whose they were, who uses the lease for as long as this is waited for;
   * `refused` hears why it takes so long.
   */
  async remove(
    known: Map<string, Known>,
    leaver?: LeaseListener,
    refused?: (error: EtcdRegisterError) => void,
  ): Promise<boolean> {
    const { connection, lease } = this.#deps
    const mayTake = (found: KeyValue) => lease.owns(found.lease)
    const never = new AbortController().signal
    for (let attempt = 0; known.size > 0; attempt += 1) {
      try {
        while (known.size > 0) {
          const deletes = [...known.keys()]
          const result = await writeOwned(connection, { puts: [], deletes, lease: '0', known, mayTake })
          for (const key of 'refused' in result ? [result.refused.key] : deletes) {
            known.delete(key)
            if ('revision' in result && lease.usedBesides(leaver)) this.#watch(key, result.revision)
          }
        }
      } catch (error) {
        const { code, retryable } = error as EtcdRegisterError
        // The registry is closed: its lease ends.
        if (code === 'ERR_CLOSED') return false
        // Where the one who leaves is the last user, the end of the lease deletes what we may not.
        if (!lease.used || (!retryable && !lease.usedBesides(leaver))) return false
        if (!retryable) refused?.(error as EtcdRegisterError)
        await connection.pause(attempt, never)
      }
    }
    return true
  }

  /** Somebody else in this process has the key now. */
  release(key: string): void {
    this.#stops.get(key)?.()
    this.#stops.delete(key)
  }

  clear(): void {
    for (const key of this.#stops.keys()) this.release(key)
  }

  #watch(key: string, revision: number): void {
    const { clock, lease, watchKey } = this.#deps
    this.release(key)
    const removeAgain = (found: KeyValue | undefined) => {
      if (found !== undefined && lease.owns(found.lease)) void this.remove(new Map([[key, knownOf(found)]]))
    }
    const observer = { changed: removeAgain, listed: removeAgain }
    const guard = new OwnedKeyWatch(watchKey, key, { revision, present: false }, observer)
    const cancel = clock.after(LATEST, () => this.release(key))
    this.#stops.set(key, () => {
      cancel()
      guard.close()
    })
  }
}
