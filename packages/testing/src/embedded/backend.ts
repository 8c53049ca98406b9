import { randomBytes } from 'node:crypto'
import { AuthStore } from './auth-store.ts'
import type { Clock } from './clock.ts'
import { Kv } from './kv.ts'
import { Leases } from './leases.ts'
import { Store } from './store.ts'
import { Tokens } from './tokens.ts'
import type { Rules } from './version.ts'
import { WatchHub } from './watch-hub.ts'
import type { ResponseHeader } from './wire.ts'

/** What all services work on. */
export interface Backend {
  readonly clock: Clock
  readonly store: Store
  readonly leases: Leases
  readonly hub: WatchHub
  readonly kv: Kv
  readonly auth: AuthStore
  readonly rules: Rules
  readonly maxRequestBytes: number
  readonly memberId: string
  header(): ResponseHeader
}

export interface Settings {
  readonly rules: Rules
  /** Seconds. */
  readonly tokenTtl: number
  /** Seconds. */
  readonly minLeaseTtl: number
  readonly maxTxnOps: number
  readonly maxRequestBytes: number
}

/** An empty store. With a former one, it takes the place of that one in the same cluster. */
export function createBackend(clock: Clock, settings: Settings, former?: Backend): Backend {
  const { rules, minLeaseTtl, maxTxnOps, maxRequestBytes, tokenTtl } = settings
  const store: Store = new Store(
    rules,
    changes => leases.follow(changes),
    () => hub.publish(),
  )
  const leases = new Leases(clock, store, minLeaseTtl)
  const hub = new WatchHub(clock, store)
  const { cluster_id, member_id } = former?.header() ?? { cluster_id: anId(), member_id: anId() }
  return {
    clock,
    store,
    leases,
    hub,
    kv: new Kv(rules, store, leases, maxTxnOps),
    auth: new AuthStore(rules, new Tokens(clock, tokenTtl)),
    rules,
    maxRequestBytes,
    memberId: member_id,
    header: () => ({ cluster_id, member_id, revision: store.revision, raft_term: 2 }),
  }
}

const anId = () => String(randomBytes(8).readBigUInt64BE())
