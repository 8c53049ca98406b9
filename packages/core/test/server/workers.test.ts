import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest'
import { aChild, type Child } from '../support/child.ts'
import { rows } from '../support/etcdctl-table.ts'
import { until } from '../support/until.ts'

let etcd: EtcdMember

beforeAll(async () => {
  etcd = await startEtcdBinary()
})

afterAll(() => etcd?.stop())

/** Two registered workers, and which keys there are. */
async function twoWorkers(
  t: TestContext,
  kind: 'cluster' | 'threads',
  name: string = kind,
  more: object = {},
) {
  const options = { kind, hosts: etcd.endpoint, name, ...more }
  const child: Child = aChild(t, 'workers.mjs', JSON.stringify(options))
  const ids = async () =>
    (await rows(etcd, `/services/${name}/`)).map(({ key }) => key.split('/').at(-1)!).sort()
  await until(() => child.lines.length === 2, { within: 45_000 })
  const [first, second] = [...child.lines].sort() as [string, string]
  expect(await ids()).toEqual([first, second])
  return { child, ids, first, second }
}

test.concurrent('each worker of a cluster is an instance, and leaves alone', async t => {
  const { child, ids, first, second } = await twoWorkers(t, 'cluster')
  expect([first, second]).toEqual([
    expect.stringMatching(/^127\.0\.0\.1:\d+-w1$/),
    expect.stringMatching(/^127\.0\.0\.1:\d+-w2$/),
  ])
  expect(first.replace('-w1', '')).toBe(second.replace('-w2', ''))
  child.kill('SIGHUP')
  await child.said('worker ended 0')
  expect(await ids()).toEqual([second])
})

test.concurrent.for(['SIGTERM', 'SIGINT', 'SIGKILL'] as const)(
  'workers whose primary is ended by %s leave, although Node ends them at once',
  async (signal, t) => {
    const { child, ids } = await twoWorkers(t, 'cluster', `ended-by-${signal.toLowerCase()}`)
    child.kill(signal)
    expect(await child.ended).toBe(signal)
    await until(async () => (await ids()).length === 0)
  },
)

test.concurrent('a primary that disconnects its workers while they leave ends none of them with an error', async t => {
  const { child, ids } = await twoWorkers(t, 'cluster', 'disconnected', { graceful: true })
  child.kill('SIGTERM')
  await child.said('worker ended SIGTERM', 2)
  expect(await ids()).toEqual([])
})

test.concurrent('each thread that serves is an instance; closing its server takes it off and lets it end', async t => {
  const { child, ids } = await twoWorkers(t, 'threads')
  child.kill('SIGHUP')
  await child.said('thread ended 0')
  expect(await ids()).toHaveLength(1)
})
