import { randomBytes } from 'node:crypto'
import type { Clock } from './clock.ts'
import { refused } from './errors.ts'
import type { KeyText } from './key-range.ts'
import { type Change, NO_LEASE, type Store } from './store.ts'
import type { Int64 } from './wire.ts'

/** Seconds, as in etcd. */
const LONGEST_TTL = 9_000_000_000n

export interface Lease {
  readonly id: Int64
  /** Granted, in seconds. */
  readonly ttl: bigint
  readonly keys: Set<KeyText>
  /** By the clock, in milliseconds. */
  expiry: number
}

/** The leases of a store, which end by the clock. */
export class Leases {
  readonly #leases = new Map<Int64, Lease>()
  readonly #clock: Clock
  readonly #store: Store
  readonly #shortest: bigint

  constructor(clock: Clock, store: Store, shortestTtl: number) {
    this.#clock = clock
    this.#store = store
    this.#shortest = BigInt(shortestTtl)
  }

  grant(request: { ID?: Int64; TTL?: Int64 }): Lease {
    const asked = BigInt(request.TTL ?? 0)
    if (asked > LONGEST_TTL) throw refused('leaseTtlTooLarge')
    const ttl = asked < this.#shortest ? this.#shortest : asked
    const { ID = NO_LEASE } = request
    const id = ID === NO_LEASE ? this.#freeId() : ID
    if (this.#leases.has(id)) throw refused('leaseExists')
    const lease = { id, ttl, keys: new Set<KeyText>(), expiry: this.#expiry(ttl) }
    this.#leases.set(id, lease)
    this.#watch(lease)
    return lease
  }

  /** Refuses an id that no lease has. */
  find(id: Int64): Lease {
    const lease = this.#leases.get(id)
    if (lease === undefined) throw refused('leaseNotFound')
    return lease
  }

  get(id: Int64): Lease | undefined {
    return this.#leases.get(id)
  }

  /** Seconds that it has left now. */
  remaining({ expiry }: Lease): number {
    return Math.floor((expiry - this.#clock.now()) / 1000)
  }

  renew(id: Int64): Lease | undefined {
    const lease = this.#leases.get(id)
    if (lease !== undefined) lease.expiry = this.#expiry(lease.ttl)
    return lease
  }

  /** As a member does that comes to lead: all get their full time again. */
  renewAll(): void {
    for (const id of this.#leases.keys()) this.renew(id)
  }

  /** Ends it, and deletes all of its keys in one revision. */
  revoke(id: Int64): void {
    const { keys } = this.find(id)
    this.#store.write(writer => {
      for (const start of [...keys].sort()) writer.delete({ start, end: undefined })
    })
    this.#leases.delete(id)
  }

  /** Those that end first come first. */
  list(): Lease[] {
    return [...this.#leases.values()].sort((a, b) => a.expiry - b.expiry)
  }

  keysOf(id: Int64): KeyText[] {
    return [...(this.#leases.get(id)?.keys ?? [])].sort()
  }

  /** Keeps track of which keys hang on which lease. */
  follow(changes: readonly Change[]): void {
    for (const { key, kv, before } of changes) {
      if (before !== undefined && before.lease !== kv.lease) this.#leases.get(before.lease)?.keys.delete(key)
      if (kv.lease !== NO_LEASE) this.#leases.get(kv.lease)?.keys.add(key)
    }
  }

  /** Forgets all of them, and deletes nothing. */
  clear(): void {
    this.#leases.clear()
  }

  #expiry(ttl: bigint): number {
    return this.#clock.now() + Number(ttl) * 1000
  }

  /** A renewed lease is looked at again when its new time is over. */
  #watch(lease: Lease): void {
    this.#clock.at(lease.expiry, () => {
      if (this.#leases.get(lease.id) !== lease) return
      if (lease.expiry <= this.#clock.now()) this.revoke(lease.id)
      else this.#watch(lease)
    })
  }

  #freeId(): Int64 {
    for (;;) {
      const id = String(randomBytes(8).readBigUInt64BE() >> 1n)
      if (id !== NO_LEASE && !this.#leases.has(id)) return id
    }
  }
}
