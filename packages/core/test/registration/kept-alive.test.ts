import { describe, expect, it } from 'vitest'
import { Connection } from '../../src/etcd/client/connection.ts'
import { resolveOptions } from '../../src/registry/options.ts'
import { leases } from '../support/etcdctl-table.ts'
import { MovedClock } from '../support/moved-clock.ts'
import { aSessionKeeper } from '../support/session-keeper.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { aLink, anEtcd, type Cleanup } from '../support/write-side.ts'

forbidUnhandled()

type OpenKeepAlive = Connection['openKeepAlive']

/** What a test does to grants and streams on their way; both are etcd's own. */
interface Ways {
  grant?(grant: Connection['grant'], clock: MovedClock): Connection['grant']
  openKeepAlive?(open: OpenKeepAlive): OpenKeepAlive
  /** To one etcd, each of them a member to the keeper; default 1. */
  members?: number
  ttl?: number
}

/** The keeper of a lease of 3 s whose first renewal is at 500 ms; time stands still but for the test. */
async function aKeeper(test: Cleanup, { ttl = 3, members = 1, ...ways }: Ways = {}) {
  const etcd = await anEtcd(test)
  const links = await Promise.all(Array.from({ length: members - 1 }, () => aLink(test, etcd)))
  const hosts = [etcd, ...links].map(({ endpoint }) => endpoint)
  const options = resolveOptions({ hosts, ttl, logger: false }, {})
  const clock = new MovedClock(0.5)
  const connection = new Connection(options, clock)
  test.onTestFinished(() => connection.close())
  const [granting, opening] = [connection.grant.bind(connection), connection.openKeepAlive.bind(connection)]
  // For etcd, whose time goes on, it lasts longer than any test.
  const grant: typeof granting = async (ttl, id) => ({ ...(await granting(600, id)), ttl })
  const open: OpenKeepAlive = handlers =>
    opening({
      ...handlers,
      onData: answer => handlers.onData({ ...answer, TTL: answer.TTL === '0' ? '0' : '3' }),
    })
  const counts = { opened: 0, sent: 0, renewed: 0 }
  connection.grant = ways.grant?.(grant, clock) ?? grant
  connection.openKeepAlive = async handlers => {
    counts.opened += 1
    const stream = await (ways.openKeepAlive?.(open) ?? open)(handlers)
    const write: typeof stream.write = message => {
      counts.sent += 1
      return stream.write(message)
    }
    return { ...stream, write, cancel: failed => stream.cancel(failed) }
  }
  const events: string[] = []
  const keeper = aSessionKeeper(
    test,
    { connection, clock, ttl },
    {
      held: () => void events.push(`held ${keeper.current!.id}`),
      lost: reason => void events.push(`lost ${reason}, has ${keeper.current?.id ?? 'none'}`),
      renewed() {
        counts.renewed += 1
      },
    },
  )
  return { etcd, clock, keeper, counts, events }
}

/** Renewed once, at 500 ms. */
async function aRenewedLease(test: Cleanup, ways?: Ways) {
  const all = await aKeeper(test, ways)
  const { clock, keeper, counts } = all
  await until(() => keeper.current !== undefined && clock.waiting === 2)
  clock.advance(500)
  await until(() => counts.renewed === 1)
  return all
}

describe.concurrent('a lease that is kept', () => {
  it('is as old as the request for it', async test => {
    const { keeper } = await aKeeper(test, {
      grant: (grant, clock) => async (ttl, id) => {
        const granted = await grant(ttl, id)
        clock.advance(700)
        return granted
      },
    })
    await until(() => keeper.current)
    expect(keeper.status()).toMatchObject({ lastAckAge: 700, expiresIn: 2300 })
  })

  it('lasts as long as an answer says, also if that is not what was granted', async test => {
    const { keeper } = await aRenewedLease(test, {
      openKeepAlive: open => handlers =>
        open({ ...handlers, onData: answer => handlers.onData({ ...answer, TTL: '2' }) }),
    })
    expect(keeper.status()).toMatchObject({ lastAckAge: 0, expiresIn: 2000 })
  })

  it('is not given up since another one is not found', async test => {
    const { clock, keeper, events, counts } = await aRenewedLease(test)
    const { id } = keeper.current!
    keeper.invalidate('1')
    clock.advance(1000)
    await until(() => counts.renewed === 2)
    expect(keeper.current?.id).toBe(id)
    keeper.invalidate(id)
    await until(() => events.length === 3)
    expect(events.slice(0, 2)).toEqual([`held ${id}`, 'lost lease-revoked, has none'])
  })

  it('is over at once if an answer gives it no time', async test => {
    const { clock, keeper, events, etcd } = await aKeeper(test)
    await until(() => keeper.current !== undefined && clock.waiting === 2)
    await etcd.etcdctl('lease', 'revoke', keeper.status().id!)
    clock.advance(500)
    await until(() => events.length === 3)
    expect(events[1]).toBe('lost lease-revoked, has none')
  })

  it('is followed by the next one at once, and nothing is sent for it any more', async test => {
    const { clock, counts, keeper, events, etcd } = await aRenewedLease(test)
    const before = { ...counts }
    clock.advance(60_000)
    await until(() => events.length === 3)
    expect(counts).toEqual(before)
    expect(await leases(etcd)).toContain(keeper.status().id)
    // And each time.
    clock.advance(60_000)
    await until(() => events.length === 5)
  })

  it('after a stall of ours an answer has time to be read, on the stream that it came by', async test => {
    const { clock, counts } = await aRenewedLease(test)
    // The keepalives of 1500 and 2500 ms are sent, and no answer read, before all these are over.
    clock.advance(1000)
    clock.advance(1400)
    await until(() => counts.renewed === 3)
    expect(counts).toEqual({ opened: 1, sent: 3, renewed: 3 })
  })

  it('whose streams end after one answer each opens no more than one before time goes on', async test => {
    const { clock, counts } = await aRenewedLease(test, {
      openKeepAlive: open => handlers =>
        open({
          ...handlers,
          onData(answer) {
            handlers.onData(answer)
            handlers.onClose(new Error('over') as never)
          },
        }),
    })
    await until(() => clock.waiting === 2)
    expect(counts.opened).toBe(1)
    clock.advance(100)
    await until(() => counts.renewed === 2)
    expect(counts.opened).toBe(2)
  })

  it('is renewed on each other member before one that did not answer is asked again', async test => {
    const members = 6
    const asked: string[] = []
    const { clock, counts, keeper } = await aKeeper(test, {
      members,
      ttl: 60,
      openKeepAlive: open => async handlers => {
        const answers = asked.length === members - 1
        const stream = await open({ ...handlers, onData: answers ? handlers.onData : () => {} })
        asked.push(stream.member)
        return stream
      },
    })
    await until(() => keeper.current !== undefined && clock.waiting === 2)
    clock.advance(10_000)
    for (let sent = 1; sent < members; sent += 1) {
      await until(() => counts.sent === sent)
      clock.advance(2000)
      // Now it is given up, and now the next one asked.
      clock.advance(1000)
    }
    await until(() => counts.renewed === 1)
    expect(new Set(asked).size).toBe(members)
    expect(keeper.status().losses).toBe(0)
  })
})

it('a lease that still runs is tried to be renewed once a second at least, however often that failed', async test => {
  let failures = 0
  const { clock, keeper } = await aKeeper(test, {
    ttl: 60,
    openKeepAlive: () => async () => {
      failures += 1
      throw new Error('no')
    },
  })
  await until(() => keeper.current !== undefined && clock.waiting === 2)
  clock.advance(10_000)
  for (let tried = 1; tried < 30; tried += 1) {
    await until(() => failures === tried && clock.waiting === 2)
    clock.advance(1000)
  }
  expect(keeper.status().losses).toBe(0)
})

it('where no lease is granted it is asked for another time only after a while', async test => {
  let asked = 0
  const { clock, keeper } = await aKeeper(test, {
    grant: grant => async (ttl, id) => {
      asked += 1
      if (asked < 3) throw new Error('no')
      return grant(ttl, id)
    },
  })
  await until(() => clock.waiting === 1)
  expect(asked).toBe(1)
  clock.advance(100)
  await until(() => asked === 2 && clock.waiting === 1)
  clock.advance(100)
  expect(asked).toBe(2)
  clock.advance(50)
  await until(() => keeper.current)
})
