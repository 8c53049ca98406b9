import { backoff } from './backoff.ts'
import { type Clock, sleep } from './clock.ts'
import type { EtcdRegisterError } from './errors.ts'
import type { Connection } from './etcd/connection.ts'
import type { KeyValue } from './etcd/key-value.ts'
import { type Known, knownOf, writeOwned } from './etcd/owned-keys.ts'
import { KeyGuard, type KeyWatcher } from './key-guard.ts'
import type { LeaseKeeper, LeaseUser } from './lease.ts'

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
   * Resolves when none of them is there, or nobody keeps them alive any more. `known`: how they stand as far as we know;
   * `leaver`: whose they were, who uses the lease for as long as this is waited for; `refused` hears why it takes so long.
   */
  async remove(
    known: Map<string, Known>,
    leaver?: LeaseUser,
    refused?: (error: EtcdRegisterError) => void,
  ): Promise<void> {
    const { clock, connection, lease } = this.#deps
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
        const { retryable } = error as EtcdRegisterError
        // Where the one who leaves is the last user, the end of the lease deletes what we may not.
        if (!lease.used || (!retryable && !lease.usedBesides(leaver))) return
        if (!retryable) refused?.(error as EtcdRegisterError)
        await sleep(clock, backoff(attempt, clock))
        await connection.whenUp(never)
      }
    }
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
    const guard = new KeyGuard(watchKey, key, { revision, present: false }, found => {
      if (found !== undefined && lease.owns(found.lease)) void this.remove(new Map([[key, knownOf(found)]]))
    })
    const cancel = clock.after(LATEST, () => this.release(key))
    this.#stops.set(key, () => {
      cancel()
      guard.close()
    })
  }
}
