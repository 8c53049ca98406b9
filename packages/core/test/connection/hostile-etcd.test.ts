import type { Discovery, Registration } from '@etcd-register/core'
import type { EtcdMember } from '@etcd-register/testing'
import { startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, describe, expect, type TestContext, test } from 'vitest'
import {
  AUTH_TRICKS,
  type HostileEtcd,
  startHostileEtcd,
  TRICKS,
} from '../../../../fixtures/hostile-etcd/index.ts'
import { resolveOptions } from '../../src/registry/options.ts'
import { EtcdRegistry } from '../../src/registry/registry.ts'
import { MovedClock } from '../support/moved-clock.ts'
import { RawWriter, valueFor } from '../support/raw-writer.ts'
import { keepLog, openRegistry } from '../support/read-side.ts'
import { until } from '../support/until.ts'
import { orders } from '../support/write-side.ts'

let etcd: EtcdMember
let writer: RawWriter
beforeAll(async () => {
  etcd = await startEtcdBinary()
  writer = new RawWriter(etcd.endpoint)
})
afterAll(async () => {
  writer.close()
  await etcd.stop()
})

const titles = Object.keys(TRICKS)
/** What does not work, without the lines that say that it does again. */
const told = (logger: ReturnType<typeof keepLog>) =>
  logger.of('warn').filter(line => !/(?:answers|works|writes|read|watched) again$|^registered: /.test(line))
const ESCAPED = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/u

/** Nothing is wrong by these. */
const HARMLESS = new Set(['headers of 60,000 bytes', 'a watch: created at a revision far ahead'])

async function aHostileEtcd(t: TestContext, title: string): Promise<HostileEtcd> {
  const hostile = await startHostileEtcd(etcd, TRICKS[title])
  t.onTestFinished(() => hostile.stop())
  return hostile
}

/** A service of which there is an instance that somebody else registered. */
async function aService(title: string): Promise<string> {
  const name = title.replace(/\W+/g, '-').toLowerCase()
  await writer.put(`/services/${name}/10.0.0.5:8000`, valueFor(name, '10.0.0.5:8000'))
  return name
}

/** Registered, fresh, and all that is registered is found. */
function untilWell(title: string, registration: Registration, discovery: Discovery): Promise<void> {
  const found = () => {
    expect(registration.state).toBe('registered')
    expect(discovery.stale).toBe(false)
    const ids = discovery.instances.map(({ id }) => id).sort()
    expect(ids).toEqual(['10.0.0.5:8000', registration.instance.id])
    return true
  }
  return until(found, { what: title })
}

describe.concurrent('one hostile member among others', () => {
  test.for(titles)('%s: registered, discovered and fresh by way of the other', async (title, t) => {
    const name = await aService(`two ${title}`)
    const hostile = await aHostileEtcd(t, title)
    for (let round = 0; round < 3 || (hostile.played === 0 && round < 12); round += 1) {
      const logger = keepLog()
      const registry = openRegistry(t, [hostile.endpoint, etcd.endpoint], { logger })
      const registration = registry.register(orders({ name, port: 9000 + round }))
      const discovery = registry.discover(name)
      let renewed = TRICKS[title]!.method !== 'LeaseKeepAlive'
      registration.on('renewed', () => {
        renewed = true
      })
      await until(() => renewed || hostile.played > 0)
      await untilWell(title, registration, discovery)
      expect(told(logger).length, told(logger).join('\n')).toBeLessThan(3)
      await registry.close()
    }
    expect(hostile.played).toBeGreaterThan(0)
  })
})

describe.concurrent('a hostile etcd', () => {
  test.for(titles)('%s: nothing is tried without a pause', async (title, t) => {
    const name = await aService(`pause ${title}`)
    const hostile = await aHostileEtcd(t, title)
    const clock = new MovedClock()
    const options = resolveOptions({ hosts: hostile.endpoint, logger: false })
    const registry = new EtcdRegistry(options, clock)
    const registration = registry.register(orders({ name }))
    registration.ready().catch(() => {})
    registry
      .discover(name)
      .ready()
      .catch(() => {})
    let left = 0
    for (let second = 0; second < 6; second += 1) {
      const before = hostile.played
      // The clock stands still for so long as so many reads take, one after the other.
      for (let i = 0; i < 20; i += 1) await writer.write([])
      left = Math.max(left, hostile.played - before)
      clock.advance(1000)
    }
    await until(() => hostile.played > 0)
    expect(left).toBeLessThan(20)
    clock.advance(10_000)
    hostile.trick = undefined
    const closed = registry.close()
    await hostile.stop()
    clock.advance(10_000)
    await closed
  })

  test.for(titles)(
    '%s: told once, in words that are safe to show, and mended when it is over',
    async (title, t) => {
      const name = await aService(`alone ${title}`)
      const hostile = await aHostileEtcd(t, title)
      const logger = keepLog()
      const registry = openRegistry(t, hostile.endpoint, { logger })
      const registration = registry.register(orders({ name }))
      registration.ready().catch(() => {})
      const discovery = registry.discover(name)
      discovery.ready().catch(() => {})
      const lines = HARMLESS.has(title) ? 0 : 1
      await until(() => hostile.played >= 2 && told(logger).length >= lines, {
        what: `${title}: a warning`,
      })
      hostile.trick = undefined
      await untilWell(title, registration, discovery)
      // 30 MB at once end the connection too. Of a refusal that lasts the reader tells, and the writer, whose key is unguarded.
      const most = /30 MB|cancel reason/.test(title) ? 2 : 1
      expect(told(logger).length, told(logger).join('\n')).toBeLessThan(most + 1)
      for (const { message, fields } of logger.lines) {
        expect(message).not.toMatch(ESCAPED)
        expect(message.replaceAll(name, '').length).toBeLessThan(700)
        const { err } = fields as { err?: Error & { cause?: Error } }
        for (const error of [err, err?.cause]) {
          expect(String(error?.message)).not.toMatch(ESCAPED)
          expect(JSON.stringify({ ...error, stack: error?.stack }).length).toBeLessThan(5000)
        }
      }
    },
  )
})

describe.concurrent('a hostile etcd that is asked for a token', () => {
  test.for(Object.keys(AUTH_TRICKS))('%s: told once, without password or token', async (title, t) => {
    const password = 'pa55word-of-orders'
    const hostile = await startHostileEtcd(etcd, AUTH_TRICKS[title]!(password))
    t.onTestFinished(() => hostile.stop())
    const logger = keepLog()
    const auth = { username: 'orders', password }
    const registry = openRegistry(t, hostile.endpoint, { logger, auth })
    const registration = registry.register(orders())
    registration.ready().catch(() => {})
    await until(() => hostile.played > 3 && told(logger).length > 0)
    expect(told(logger)).toHaveLength(1)
    for (const { message, fields } of logger.lines) {
      const { err } = fields as { err?: Error }
      expect(`${message} ${err?.stack} ${err?.cause} ${JSON.stringify(fields)}`).not.toMatch(
        /pa55word|ttttt|ken\\u001b/,
      )
      expect(message).not.toMatch(ESCAPED)
    }
    hostile.trick = undefined
    await until(() => registration.state === 'registered')
  })
})
