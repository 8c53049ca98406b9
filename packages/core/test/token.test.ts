import { expect, test } from 'vitest'
import { TokenSource } from '../src/etcd/client/token.ts'
import { systemClock } from '../src/etcd/support/clock.ts'
import { resolveLogger } from '../src/etcd/support/logger.ts'

/** A source whose delays are noted instead of waited for. */
function source(authenticate: (timeout: number) => Promise<string>, { members = 1, leaseRest = 6000 } = {}) {
  const delays: number[] = []
  const clock = {
    ...systemClock,
    random: () => 1,
    after: (ms: number, fn: () => void) => {
      delays.push(ms)
      return systemClock.after(0, fn)
    },
  }
  const tokens = new TokenSource({
    auth: { username: 'orders', password: 'pw' },
    clock,
    logger: resolveLogger(false),
    timeout: 3000,
    members: () => members,
    where: () => '127.0.0.1:2379',
    leaseRest: () => leaseRest,
    authenticate: (_, timeout) => authenticate(timeout),
    closed: new AbortController().signal,
  })
  return { tokens, delays }
}

const INVALID = new Error('16 UNAUTHENTICATED: etcdserver: invalid auth token')
const OLD = new Error('3 INVALID_ARGUMENT: etcdserver: revision of auth store is old')
const LATE = new Error('4 DEADLINE_EXCEEDED: Deadline exceeded')

test.each([
  [6000, 3000],
  [2000, 1000],
  [Number.POSITIVE_INFINITY, 3000],
])(
  'a token is replaced after a random delay: with %i ms left of the lease up to %i ms',
  async (leaseRest, longest) => {
    const { tokens, delays } = source(async () => 'a.b.c', { leaseRest })
    const first = await tokens.get()
    expect(tokens.refused(first, OLD)).toBe(true)
    await tokens.get()
    expect(delays).toEqual([longest])
  },
)

test('whoever asks meanwhile gets the same token, and its refusal counts once', async () => {
  let asked = 0
  const { tokens } = source(async () => {
    asked += 1
    return `a.b.${asked}`
  })
  const [one, other] = await Promise.all([tokens.get(), tokens.get()])
  expect(one).toBe(other)
  tokens.refused(one!, INVALID)
  const next = await tokens.get()
  expect(tokens.refused(one!, INVALID)).toBe(true)
  expect(await tokens.get()).toBe(next)
  expect(asked).toBe(2)
})

test('a request is not tried without end where etcd refuses each new token', async () => {
  const { tokens } = source(async () => 'a.b.c')
  const tries = async (error: Error) => {
    let times = 1
    while (tokens.refused(await tokens.get(), error, times)) times += 1
    return times
  }
  expect(await tries(INVALID)).toBe(3)
  expect(await tries(OLD)).toBe(10)
})

test('a simple token is kept where only its revision is old', async () => {
  const { tokens } = source(async () => 'JjnpzeBHbJmqFVKD.11')
  const token = await tokens.get()
  expect(tokens.refused(token, OLD)).toBe(true)
  expect(await tokens.get()).toBe(token)
})

test('authentications that time out come after longer delays, and may take longer, once each member had its turn', async () => {
  const timeouts: number[] = []
  let late = 5
  const { tokens, delays } = source(
    timeout => {
      timeouts.push(timeout)
      late -= 1
      return late < 0 ? Promise.resolve('a.b.c') : Promise.reject(LATE)
    },
    { members: 2 },
  )
  for (let i = 0; i < 5; i += 1) await expect(tokens.get()).rejects.toBe(LATE)
  expect((await tokens.get()).value).toBe('a.b.c')
  expect(timeouts).toEqual([3000, 3000, 6000, 6000, 12_000, 12_000])
  expect(delays).toEqual([6000, 6000, 8000, 8000])
})

test('what went to etcd is known as secret for as long as a request with it can be under way', async () => {
  let asked = 0
  const { tokens } = source(async () => {
    asked += 1
    return `a.b.${asked}`
  })
  expect(tokens.secrets).toEqual([])
  const first = await tokens.get()
  tokens.refused(first, INVALID)
  expect(tokens.secrets).toEqual(['pw', 'a.b.1'])
  for (let i = 0; i < 30; i += 1) tokens.refused(await tokens.get(), INVALID)
  expect(tokens.secrets).toContain('a.b.31')
  expect(tokens.secrets.length).toBeLessThan(20)
})
