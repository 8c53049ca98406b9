import { setTimeout as pass } from 'node:timers/promises'
import { expect, test, vi } from 'vitest'
import { Connection } from '../../src/etcd/client/connection.ts'
import { resolveOptions } from '../../src/registry/options.ts'
import { EtcdRegistry } from '../../src/registry/registry.ts'
import { MovedClock } from '../support/moved-clock.ts'
import { valueFor } from '../support/raw-writer.ts'
import { openWriter, startEtcd, startProxy, untilFresh } from '../support/read-side.ts'

const SECONDS = 3600

const NAMES = ['a', 'b', 'c', 'd', 'e']

test('an hour in which nobody writes: one answer a second, no list but the reconciles, never stale', async t => {
  const etcd = await startEtcd(t)
  const link = await startProxy(t, etcd)
  const writer = openWriter(t, etcd.endpoint)
  for (const name of NAMES) {
    await writer.fill(
      Array.from({ length: 200 }, (_, i) => ({
        put: `/services/${name}/${i}`,
        value: valueFor(name, `${i}`),
      })),
    )
  }
  // A second is over when the registry has its answer: on a busy machine that is later than when its bytes pass by.
  let answers = 0
  const openWatch = Connection.prototype.openWatch
  const spy = vi.spyOn(Connection.prototype, 'openWatch').mockImplementation(function (
    this: Connection,
    handlers,
  ) {
    const onData: typeof handlers.onData = message => {
      answers += 1
      handlers.onData(message)
    }
    return openWatch.call(this, { ...handlers, onData })
  })
  t.onTestFinished(() => spy.mockRestore())
  const clock = new MovedClock()
  const registry = new EtcdRegistry(resolveOptions({ hosts: link.endpoint, logger: false }), clock)
  t.onTestFinished(async () => {
    const closed = registry.close()
    clock.advance(10_000)
    await closed
  })
  const discoveries = NAMES.map(name => registry.discover(name))
  await Promise.all(discoveries.map(discovery => discovery.ready()))
  await Promise.all(discoveries.map(untilFresh))
  let stale = 0
  for (const discovery of discoveries) discovery.on('stale', () => (stale += 1))
  const listed = (await etcd.requests()).Range ?? 0
  const member = registry.status().etcd.member
  // While a watch is new, which it is for 100 ms, newer etcd answers no request for progress: seconds here are shorter.
  await pass(500)
  const before = link.bytes

  for (let second = 0; second < SECONDS; second += 1) {
    const had = answers
    clock.advance(1000)
    let seen: number
    do {
      seen = link.bytes.down
      await pass(1)
    } while (answers === had || seen < link.bytes.down)
  }

  const after = link.bytes
  const lists = ((await etcd.requests()).Range ?? 0) - listed
  const bytes = { up: after.up - before.up, down: after.down - before.down }
  console.log(
    `== an idle hour of 5 discoveries of 200 instances: ${lists} reads, ${JSON.stringify(bytes)} bytes`,
  )
  expect(stale).toBe(0)
  for (const { relists, reconnects, repairs, instances } of registry.status().watches)
    expect({ relists, reconnects, repairs, instances }).toEqual({
      ...{ relists: 0, reconnects: 0, repairs: 0 },
      instances: 200,
    })
  expect(registry.status().etcd.member).toBe(member)
  // one reconcile each 5 to 10 minutes
  expect(lists).toBeGreaterThanOrEqual(NAMES.length * 6)
  expect(lists).toBeLessThanOrEqual(NAMES.length * 12)
})
