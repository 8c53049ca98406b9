import { type EtcdCluster, type EtcdMember, startEtcdCluster } from '@etcd-register/testing'
import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest'
import { expectConverged } from '../support/oracle.ts'
import { valueFor } from '../support/raw-writer.ts'
import { discover, nextEvent, openRegistry, openWriter } from '../support/read-side.ts'
import { within } from '../support/timed.ts'

let cluster: EtcdCluster

beforeAll(async () => {
  cluster = await startEtcdCluster()
})
afterAll(() => cluster.stop())

/** A discovery, the member that its watch is on, and a writer on another one. */
async function watchedMember(t: TestContext, name: string) {
  const registry = openRegistry(t, cluster.endpoints, { requestTimeout: 1000 })
  const { discovery, witness } = await discover(registry, name)
  const isOurs = ({ endpoint }: EtcdMember) => endpoint === registry.status().etcd.member
  const member = cluster.members.find(isOurs)!
  expect(await member.openStreams('Watch')).toBeGreaterThan(0)
  const others = cluster.members.filter(other => other !== member)
  const writer = openWriter(t, others[0]!.endpoint)
  const put = (id: string) => writer.insist(`/services/${name}/${id}`, valueFor(name, id))
  return { registry, discovery, witness, member, others, put }
}

test('a member that freezes is found within 5 s, and left', async t => {
  const { discovery, witness, member, others, put } = await watchedMember(t, 'frozen')
  t.onTestFinished(() => member.thaw())
  const [found, changed] = [nextEvent(discovery, 'stale'), nextEvent(discovery, 'change')]
  await member.freeze()
  await within(5000, found)
  // How soon there is a leader again, if it was that one, is up to the others.
  await put('a')
  await within(5000, changed)
  await expectConverged(witness, others[0]!, '/services/frozen/')
  expect(discovery.stale).toBe(false)
})

test('a member that is killed is left at once', async t => {
  const { discovery, witness, member, others, put } = await watchedMember(t, 'killed')
  const [found, changed] = [nextEvent(discovery, 'stale'), nextEvent(discovery, 'change')]
  await member.kill()
  await within(1000, found)
  await put('a')
  await within(5000, changed)
  await expectConverged(witness, others[0]!, '/services/killed/')
  await member.restart()
})

test('a cluster without a leader is stale, and fresh when it has one again', async t => {
  const { discovery, witness, member, others, put } = await watchedMember(t, 'leaderless')
  await put('a')
  await expectConverged(witness, member, '/services/leaderless/')
  const stale = nextEvent(discovery, 'stale')
  await Promise.all(others.map(other => other.kill()))
  await stale
  expect(discovery.instances).toHaveLength(1)
  await Promise.all(others.map(other => other.restart()))
  await put('b')
  await expectConverged(witness, member, '/services/leaderless/')
})
