import { inspect } from 'node:util'
import { createRegistry } from '@etcd-register/core'
import { expect, it } from 'vitest'
import { LineLimit } from '../../src/discovery/line-limit.ts'
import { RangeRows } from '../../src/discovery/range-rows.ts'
import { systemClock } from '../../src/etcd/support/clock.ts'
import { EtcdRegisterError } from '../../src/etcd/support/errors.ts'
import { errorFields } from '../../src/etcd/support/logger.ts'
import { resolveOptions } from '../../src/registry/options.ts'
import { EtcdRegistry } from '../../src/registry/registry.ts'
import { startCallBalancer } from '../support/call-balancer.ts'
import { leaseOf } from '../support/lease-of.ts'
import { MovedClock } from '../support/moved-clock.ts'
import { keepLog } from '../support/read-side.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { aLink, anEtcd, aRegistry, orders, registered, statusOf } from '../support/write-side.ts'

forbidUnhandled()

/** Time that goes so many times faster, but for the deadlines of gRPC. */
const fasterBy = (factor: number) => ({
  ...systemClock,
  now: () => systemClock.now() * factor,
  after: (ms: number, fn: () => void) => systemClock.after(ms / factor, fn),
})

it('a watch stream that stays silent while reads are answered is one warning for all discoveries, and one when it works', async t => {
  const etcd = await anEtcd(t)
  let silent = true
  const balancer = await startCallBalancer(t, [etcd], path => silent && path.endsWith('/Watch'))
  const log = keepLog()
  const registry = new EtcdRegistry(resolveOptions({ hosts: balancer.endpoint, logger: log }), fasterBy(5))
  t.onTestFinished(() => registry.close())
  const discoveries = ['orders', 'users', 'carts'].map(name => registry.discover(name))
  await until(() => log.of('warn').length > 0, { within: 60_000 })
  const opened = () => registry.status().watches[0]!.reconnects + registry.status().watches[0]!.relists
  const before = opened()
  await until(() => opened() > before + 2, { within: 60_000 })
  expect(log.of('warn')).toEqual([
    expect.stringMatching(/silent on the watch stream\. Discoveries are stale/),
  ])
  expect(registry.status().watches).toMatchObject(
    Array(3).fill({ stale: true, lastError: { code: 'ERR_ETCD_STREAM' } }),
  )
  silent = false
  await until(() => log.of('warn').length > 1, { within: 60_000 })
  expect(log.of('warn').slice(1)).toEqual([
    expect.stringMatching(/^the watch stream on etcd at \S+ works again$/),
  ])
  expect(discoveries.map(({ stale }) => stale)).toEqual([false, false, false])
})

it('a list that etcd refuses is told of once that lasts, and once when it is read again', () => {
  const clock = new MovedClock()
  const log = keepLog()
  const placed = resolveOptions({ logger: false }).formats[0]!
  const ignore = () => {}
  const limit = new LineLimit(clock, { reached: ignore, over: ignore })
  const rows = new RangeRows(
    {
      name: 'orders',
      placed,
      rank: 0,
      others: [],
      quiet: false,
      allow: undefined,
      limits: { warn: limit, debug: limit },
      clock,
      logger: log,
    },
    { changed: ignore, synced: ignore, failed: ignore },
  )
  const fail = () => rows.failed(new EtcdRegisterError('ERR_ETCD_REQUEST', 'etcd refused a read.'))
  fail()
  rows.sync(true, 0)
  clock.advance(20_000)
  expect(log.lines).toEqual([])
  for (let second = 0; second < 30; second += 1) {
    fail()
    clock.advance(1000)
  }
  expect(log.of('warn')).toEqual(['etcd refused a read. Retrying.'])
  rows.sync(true, 0)
  expect(log.of('warn').slice(1)).toEqual(['the keys of "orders" can be read again'])
  fail()
  rows.close()
  clock.advance(100_000)
  expect(log.of('warn')).toHaveLength(2)
})

it('an error in a log line has its class, code and message, and no stack of it or its causes', () => {
  const cause = new Error('14 UNAVAILABLE', { cause: new Error('connect ECONNREFUSED') })
  const error = new EtcdRegisterError('ERR_ETCD_UNAVAILABLE', 'etcd cannot be reached.', { cause })
  const { code, err } = errorFields(error)
  expect(code).toBe('ERR_ETCD_UNAVAILABLE')
  expect(err).toBeInstanceOf(Error)
  expect(String(err)).toBe('EtcdRegisterError: etcd cannot be reached.')
  expect(JSON.parse(JSON.stringify(err))).toEqual({
    name: 'EtcdRegisterError',
    message: 'etcd cannot be reached.',
    code: 'ERR_ETCD_UNAVAILABLE',
  })
  expect(err.constructor.name).toBe('EtcdRegisterError')
  expect([err.stack, err.cause]).toEqual([undefined, undefined])
  expect(inspect(err)).not.toMatch(/\n +at |ECONNREFUSED/)
})

it('a logger and listeners that throw change nothing of an outage and a lost lease', async t => {
  const etcd = await anEtcd(t)
  const link = await aLink(t, etcd)
  const fail = (): never => {
    throw new Error('thrown by the app')
  }
  const logger = { debug: fail, info: fail, warn: fail, error: fail }
  const registry = createRegistry({ hosts: link.endpoint, logger, requestTimeout: 1000 })
  t.onTestFinished(() => registry.close())
  const discovery = registry.discover('orders')
  const registration = registry.register(orders())
  for (const event of ['state', 'registered', 'lost', 'renewed', 'closed'] as const) {
    registration.on(event, fail)
    registration.on(event, async () => fail())
  }
  for (const event of ['change', 'stale', 'fresh'] as const) discovery.on(event, fail)
  await until(() => discovery.instances.length === 1 && !discovery.stale)
  await link.cut()
  await until(() => discovery.stale && registry.status().etcd.connection === 'down')
  await link.restore()
  await until(() => !discovery.stale && registry.status().etcd.connection === 'up')
  await etcd.etcdctl('lease', 'revoke', leaseOf(registry).id!)
  await until(() => leaseOf(registry).losses === 1 && registration.state === 'registered')
  await registry.close()
  expect(registration.state).toBe('closed')
})

it('who is in conflict sees it in the status, and its end in the log', async t => {
  const etcd = await anEtcd(t)
  const older = aRegistry(t, etcd)
  const registration = await registered(older)
  const newer = await registered(aRegistry(t, etcd))
  await until(() => registration.state === 'conflict')
  expect(statusOf(older, registration).lastError).toMatchObject({ code: 'ERR_CONFLICT' })
  await newer.deregister()
  await until(() => registration.state === 'registered')
  expect(statusOf(older, registration).lastError).toBeUndefined()
  expect(older.warnings.slice(1)).toEqual(['registered: orders 192.0.2.1:8000'])
})
