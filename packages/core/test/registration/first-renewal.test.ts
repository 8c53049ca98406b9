import { expect, it } from 'vitest'
import { Connection } from '../../src/etcd/client/connection.ts'
import { resolveOptions } from '../../src/registry/options.ts'
import { MovedClock } from '../support/moved-clock.ts'
import { aSessionKeeper } from '../support/session-keeper.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { anEtcd } from '../support/write-side.ts'

forbidUnhandled()

it.concurrent.for([
  [0.25, 250],
  [0.75, 750],
])(
  'a lease is first renewed when chance wants, so that a fleet does not renew together: %f',
  async ([chance, due], test) => {
    const etcd = await anEtcd(test)
    const options = resolveOptions({ hosts: etcd.endpoint, ttl: 3, logger: false }, {})
    const clock = new MovedClock(chance)
    const connection = new Connection(options, clock)
    test.onTestFinished(() => connection.close())
    const sentAt: number[] = []
    const renewed = () => void sentAt.push(clock.now() - keeper.status().lastAckAge!)
    const keeper = aSessionKeeper(test, { connection, clock, ttl: 3 }, { renewed })
    await until(() => keeper.current)

    // Two timers: the end of the lease, and its first renewal.
    await until(() => clock.waiting === 2)
    clock.advance(due! - 1)
    expect(clock.waiting, 'not yet').toBe(2)
    clock.advance(1)
    expect(clock.waiting, 'now').toBe(1)
    await until(() => sentAt.length === 1)
    expect(sentAt).toEqual([due])
    expect(keeper.status()).toMatchObject({ expiresIn: 3000, losses: 0 })
  },
)
