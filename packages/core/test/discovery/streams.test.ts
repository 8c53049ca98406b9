import { expect, test } from 'vitest'
import { expectConverged } from '../support/oracle.ts'
import { valueFor } from '../support/raw-writer.ts'
import {
  discover,
  openRegistry,
  openWriter,
  startEtcd,
  startProxy,
  untilFresh,
} from '../support/read-side.ts'

test('a process that discovers 1,000 services holds one watch stream', async t => {
  const etcd = await startEtcd(t)
  const proxy = await startProxy(t, etcd)
  // A thousand first lists at once may take a busy machine a while.
  const registry = openRegistry(t, proxy.endpoint, { requestTimeout: 30_000 })
  const writer = openWriter(t, etcd.endpoint)
  const names = Array.from({ length: 1000 }, (_, i) => `svc-${i}`)
  const put = (id: string) =>
    writer.fill(names.map(name => ({ put: `/services/${name}/${id}`, value: valueFor(name, id) })))
  await put('a')
  const found = await Promise.all(names.map(name => discover(registry, name)))
  await Promise.all(found.map(({ discovery }) => untilFresh(discovery)))
  // A stream that was silent for its first second was opened again.
  await expect.poll(() => etcd.openStreams('Watch')).toBe(1)
  expect((await etcd.metrics()).get('etcd_debugging_mvcc_watcher_total')).toBe(1000)

  proxy.drop()
  await put('b')
  const sample = found.filter((_, i) => i % 250 === 0)
  for (const { discovery, witness } of sample) {
    await expectConverged(witness, etcd, `/services/${discovery.name}/`)
  }
  await expect.poll(() => found.filter(({ discovery }) => discovery.instances.length !== 2).length).toBe(0)
  await Promise.all(found.map(({ discovery }) => untilFresh(discovery)))
  expect(found.flatMap(({ witness }) => witness.differences())).toEqual([])
  // Once etcd has noticed that the first one is gone.
  await expect.poll(() => etcd.openStreams('Watch')).toBe(1)
  await expect.poll(async () => (await etcd.metrics()).get('etcd_debugging_mvcc_watcher_total')).toBe(1000)

  await Promise.all(found.map(({ discovery }) => discovery.close()))
  await expect.poll(() => etcd.openStreams('Watch')).toBe(0)
})
