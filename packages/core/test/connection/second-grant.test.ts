import { expect, it } from 'vitest'
import { Connection } from '../../src/etcd/client/connection.ts'
import { systemClock } from '../../src/etcd/support/clock.ts'
import { resolveOptions } from '../../src/registry/options.ts'
import { leases } from '../support/etcdctl-table.ts'
import { forbidUnhandled } from '../support/unhandled.ts'
import { aLink, anEtcd } from '../support/write-side.ts'

forbidUnhandled()

it('a grant whose answer is lost is found by the second try, and its time counts from the first one', async test => {
  const etcd = await anEtcd(test)
  const links = [await aLink(test, etcd), await aLink(test, etcd)]
  const requestTimeout = 2000
  const hosts = links.map(({ endpoint }) => endpoint)
  const connection = new Connection(resolveOptions({ hosts, requestTimeout, logger: false }, {}), systemClock)
  test.onTestFinished(() => connection.close())
  let id = 4096
  const grant = async () => {
    id += 1
    const { ttl, sentAt } = await connection.grant(60, String(id))
    return { ttl, age: systemClock.now() - sentAt, member: connection.status().member }
  }
  // Chance says which member is asked. A frozen one has to have been connected before.
  const seen = new Set<string | undefined>()
  while (seen.size < 2) seen.add((await grant()).member)
  links[0]!.freeze('down')
  let granted = await grant()
  while (granted.age < requestTimeout - 100) granted = await grant()
  expect(granted.ttl).toBe(60)
  expect(await leases(etcd)).toContain(id.toString(16))
})
