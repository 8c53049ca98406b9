import { expect, test } from 'vitest'
import { type BalancerFactory } from '../src/balancing/balancer.ts'
import { type BalancerName, resolveBalancer } from '../src/balancing/index.ts'
import { makeInstance } from '../src/instance/instance.ts'

const instances = (count: number) =>
  Object.freeze(
    Array.from({ length: count }, (_, i) =>
      makeInstance(
        { id: `${i}`, name: 'orders', host: '10.0.0.5', port: 8000 + i, protocol: 'http' },
        `/${i}`,
      ),
    ),
  )

/** How often each of the instances was picked. */
function picks(balancer: BalancerName, among: ReturnType<typeof instances>, times: number) {
  const pick = resolveBalancer(balancer)
  const counts = new Map(among.map(({ id }) => [id, 0]))
  for (let i = 0; i < times; i += 1) {
    const { id } = pick(among)!
    counts.set(id, counts.get(id)! + 1)
  }
  return [...counts.values()]
}

test('round robin takes each in turn, so that no two differ by more than one', () => {
  for (const size of [1, 2, 3, 7]) {
    expect(picks('round-robin', instances(size), size * 10)).toEqual(Array(size).fill(10))
    const counts = picks('round-robin', instances(size), size * 10 + 1)
    expect(Math.max(...counts) - Math.min(...counts)).toBeLessThanOrEqual(1)
  }
})

test('round robin goes on in turn when instances come and go', () => {
  const pick = resolveBalancer('round-robin')
  const all = instances(5)
  for (const some of [all, all.slice(0, 2), all.slice(0, 4), all.slice(0, 1), all]) {
    const seen = new Set(some.map(() => pick(some)))
    expect(seen).toEqual(new Set(some))
  }
})

test('round robin of many clients does not begin with the same one', () => {
  const all = instances(10)
  const first = new Set(Array.from({ length: 200 }, () => resolveBalancer('round-robin')(all)))
  expect(first.size).toBeGreaterThan(5)
})

test('random reaches each about as often as any other', () => {
  // 4000 draws of 1 in 4: beyond six standard deviations, once in a billion runs.
  for (const count of picks('random', instances(4), 4000)) expect(Math.abs(count - 1000)).toBeLessThan(165)
})

test.each(['round-robin', 'random'] as const)('%s of nobody is undefined', balancer => {
  const pick = resolveBalancer(balancer)
  expect(pick(instances(0))).toBeUndefined()
  expect(pick(instances(1))).toBeDefined()
})

test('a factory makes a balancer for each discovery, any other value is refused', () => {
  let made = 0
  const factory: BalancerFactory = () => {
    made += 1
    return all => all.at(-1)
  }
  expect(resolveBalancer(factory)(instances(3))?.id).toBe('2')
  expect(resolveBalancer(factory)(instances(1))?.id).toBe('0')
  expect(made).toBe(2)
  for (const bad of ['fastest', 'toString', '', 7, null]) {
    const run = () => resolveBalancer(bad as never)
    expect(run).toThrow(/Option "balancer" must be one of round-robin, random, or a BalancerFactory; got /)
  }
})
