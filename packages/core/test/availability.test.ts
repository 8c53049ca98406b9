import { expect, test } from 'vitest'
import { Health } from '../src/etcd/client/health.ts'
import { EtcdRegisterError } from '../src/etcd/support/errors.ts'
import { MovedClock } from './support/moved-clock.ts'

const logger = { debug() {}, info() {}, warn() {}, error() {} }
const turn = () => new Promise(resolve => setImmediate(resolve))

/** Knows that etcd is away, since long; `probes` counts how often it asked. With the longest pauses that there can be. */
async function anOutage(leaseEndsAt: number) {
  const clock = new MovedClock(0.9999)
  const counts = { probes: 0 }
  const gone = new EtcdRegisterError('ERR_ETCD_UNAVAILABLE', 'gone')
  const availability = new Health({
    clock,
    logger,
    async probe() {
      counts.probes += 1
      throw gone
    },
    where: () => 'a',
  })
  availability.leaseEnds(leaseEndsAt)
  availability.failed(gone)
  for (let i = 0; i < 20; i += 1) {
    clock.advance(5000)
    await turn()
  }
  expect(counts.probes).toBe(20)
  return { clock, counts, availability }
}

test('while a lease runs, an etcd that is away is asked once a second at least; after that each 5 s', async () => {
  const { clock, counts, availability } = await anOutage(110_000)
  for (let probes = 21; probes <= 30; probes += 1) {
    clock.advance(1000)
    await turn()
    expect(counts.probes).toBe(probes)
  }
  clock.advance(4000)
  await turn()
  expect(counts.probes).toBe(30)
  clock.advance(1000)
  await turn()
  expect(counts.probes).toBe(31)
  availability.close()
})

test('who waits for another try goes on soon after etcd answers again, however long it was away', async () => {
  const { clock, availability } = await anOutage(0)
  const signal = new AbortController().signal
  let goesOn = false
  void availability.pause(20, signal).then(() => {
    goesOn = true
  })
  availability.answered({ member: 'a', trusted: true })
  await turn()
  clock.advance(200)
  await turn()
  expect(goesOn).toBe(true)
  availability.close()
})

test('an etcd that fails in another way each time is told of once for each way, and not again within a minute', async () => {
  const clock = new MovedClock()
  const warnings: string[] = []
  const warn = (_: object, message: string) => warnings.push(message)
  const availability = new Health({
    clock,
    logger: { ...logger, warn },
    probe: async () => {},
    where: () => 'etcd',
  })
  const codes = ['ERR_ETCD_UNAVAILABLE', 'ERR_ETCD_AUTH', 'ERR_ETCD_TIMEOUT', 'ERR_ETCD_ANSWER'] as const
  for (let i = 0; i < 100; i += 1) {
    availability.failed(new EtcdRegisterError(codes[i % 4]!, codes[i % 4]!))
    if (i % 10 === 0) availability.answered({ member: 'a', trusted: true })
    clock.advance(500)
    await turn()
  }
  expect(warnings.filter(line => line.endsWith('Retrying.'))).toEqual([
    'ERR_ETCD_UNAVAILABLE Retrying.',
    'ERR_ETCD_AUTH Retrying.',
    'ERR_ETCD_ANSWER Retrying.',
  ])
  availability.close()
})

test('while the last answer was none that etcd gives, the connection is not up', () => {
  const clock = new MovedClock()
  const availability = new Health({
    clock,
    logger,
    probe: async () => {},
    where: () => 'etcd',
  })
  availability.answered({ member: 'a', trusted: true })
  availability.failed(new EtcdRegisterError('ERR_ETCD_ANSWER', 'nonsense'))
  expect(availability.status()).toMatchObject({ connection: 'down', lastError: { message: 'nonsense' } })
  availability.answered({ member: 'b', trusted: true })
  expect(availability.status()).toMatchObject({ connection: 'up', member: 'b' })

  // What the same member says to other requests does not make it sound.
  availability.failed(new EtcdRegisterError('ERR_ETCD_ANSWER', 'nonsense'), 'b')
  availability.answered({ member: 'b', trusted: true })
  expect(availability.status()).toMatchObject({ connection: 'down' })
  clock.advance(11_000)
  availability.answered({ member: 'b', trusted: true })
  expect(availability.status()).toMatchObject({ connection: 'up' })
  availability.close()
})
