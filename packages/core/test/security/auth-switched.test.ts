import type { Discovery, Registration, Registry } from '@etcd-register/core'
import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, describe, expect, test } from 'vitest'
import { leaseOf } from '../support/lease-of.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { until } from '../support/until.ts'
import { EtcdUsers, jwtTokens } from './etcd-users.ts'
import { impatientRegistry } from './impatient-registry.ts'

forbidUnhandled()

const jwt = jwtTokens()
const auth = { username: 'orders', password: 'orders-pw' }
const service = { port: 8000, host: '192.0.2.1' }
/** A machine that is busy must not look like an etcd that is. */
const patient = { requestTimeout: 30_000 }
const started: EtcdMember[] = []

async function start(args: readonly string[] = []): Promise<EtcdMember> {
  const etcd = await startEtcdBinary({ args })
  started.push(etcd)
  return etcd
}

afterAll(async () => {
  await Promise.all(started.map(etcd => etcd.stop()))
  jwt.remove()
})

const WITHOUT = /^etcd at [\d.:]+ has no authentication: requests go without the credentials in "auth"$/

test.concurrent('credentials for an etcd without authentication: it is used without, and one line says so', async () => {
  const etcd = await start()
  const { registry, warnings, infos } = impatientRegistry({ ...patient, hosts: etcd.endpoint, auth })
  try {
    const registration = registry.register({ name: 'open', ...service })
    const discovery = registry.discover('open')
    await Promise.all([registration.ready(), discovery.ready()])
    await until(() => discovery.instances.length === 1)
    expect(await registry.services()).toEqual(['open'])
    await registration.update({ weight: 1 })
    expect(warnings).toEqual([])
    expect(infos.filter(line => WITHOUT.test(line))).toHaveLength(1)
    expect((await etcd.requests()).Authenticate).toBe(1)
  } finally {
    await registry.close()
  }
})

interface Watched {
  registry: Registry
  registration: Registration
  discovery: Discovery
}

/** A write, renewals, a list, and watches that are new: all that needs a token. */
async function expectWorks({ registry, registration, discovery }: Watched, weight: number): Promise<void> {
  await registration.update({ weight })
  await until(() => discovery.instances[0]?.weight === weight)
  let renewals = 0
  const count = () => {
    renewals += 1
  }
  registration.on('renewed', count)
  await until(() => renewals >= 3)
  registration.off('renewed', count)
  const later = registry.register({ name: `later-${weight}`, ...service })
  const found = registry.discover(`later-${weight}`)
  await Promise.all([later.ready(), found.ready()])
  await until(() => found.instances.length === 1)
  await Promise.all([later.deregister(), found.close()])
}

describe.concurrent('authentication that is switched on, off and on again loses nothing', () => {
  test.each<[string, readonly string[]]>([
    ['with simple tokens', []],
    ['with JWT tokens', jwt.args],
  ])('%s', async (_, args) => {
    const etcd = await start(args)
    const users = new EtcdUsers(etcd)
    await users.addRoot()
    await users.addWithRole(auth.username, auth.password, '/services/')
    const { registry, warnings, infos } = impatientRegistry({
      ...patient,
      hosts: etcd.endpoint,
      auth,
      ttl: 15,
    })
    try {
      const registration = registry.register({ name: 'switched', ...service })
      const discovery = registry.discover('switched')
      await Promise.all([registration.ready(), discovery.ready()])
      const troubles: string[] = []
      registration.on('lost', reason => troubles.push(reason))
      const watched = { registry, registration, discovery }
      await expectWorks(watched, 1)
      await users.enable()
      await expectWorks(watched, 2)
      await users.disable()
      await expectWorks(watched, 3)
      await users.enable()
      await expectWorks(watched, 4)
      await until(() => !discovery.stale)
      expect({ troubles, warnings }).toEqual({ troubles: [], warnings: [] })
      expect(leaseOf(registry).losses).toBe(0)
      expect(infos.filter(line => WITHOUT.test(line)).length).toBeLessThanOrEqual(2)
    } finally {
      await registry.close()
    }
  })
})
