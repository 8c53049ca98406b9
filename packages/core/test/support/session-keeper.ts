import type { Connection } from '../../src/etcd/client/connection.ts'
import { Renewals } from '../../src/etcd/lease/renewals.ts'
import type { Clock } from '../../src/etcd/support/clock.ts'
import { resolveLogger } from '../../src/etcd/support/logger.ts'
import { LeaseWarnings } from '../../src/registration/lease-warnings.ts'
import { SessionKeeper, type SessionKeeperListener } from '../../src/registration/session-keeper.ts'
import type { Cleanup } from './write-side.ts'

/** The sessions of a registration without one. They begin at once, and end with the test. */
export function aSessionKeeper(
  test: Cleanup,
  { connection, clock, ttl }: { connection: Connection; clock: Clock; ttl: number },
  listener: Partial<SessionKeeperListener> = {},
): SessionKeeper {
  const renewals = new Renewals(connection, clock)
  const warnings = new LeaseWarnings(clock, resolveLogger(false))
  const ignored: SessionKeeperListener = { held() {}, lost() {}, renewed() {}, failed() {} }
  const keeper = new SessionKeeper(
    { connection, clock, renewals, ttl, warnings },
    { ...ignored, ...listener },
  )
  keeper.start()
  test.onTestFinished(() => keeper.end().catch(() => {}))
  return keeper
}
