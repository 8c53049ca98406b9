import { setTimeout as sleep } from 'node:timers/promises'
import { type TestContext, test } from 'vitest'
import { expectConverged } from '../support/oracle.ts'
import { valueFor } from '../support/raw-writer.ts'
import { discover, keepLog, openRegistry, openWriter, startEtcd, startProxy } from '../support/read-side.ts'
import { until } from '../support/until.ts'

const MBIT = 125_000

/** What a key and its value take in an answer of etcd beside their bytes: lengths, revisions. */
const OVERHEAD = 24

/** A service of so many instances, and a registry with a registration of its own whose link carries so many bytes a second. */
async function startSlow(
  t: TestContext,
  { bytesPerSecond, instances, note = 200 }: { bytesPerSecond: number; instances: number; note?: number },
) {
  const etcd = await startEtcd(t)
  const writer = openWriter(t, etcd.endpoint)
  const entries = Array.from({ length: instances }, (_, i) => {
    const id = `n${String(i).padStart(5, '0')}`
    return {
      put: `/services/web/${id}`,
      value: valueFor('web', id, { metadata: { note: `${i}${'x'.repeat(note)}` } }),
    }
  })
  await writer.fill(entries, note > 1000 ? 8 : 128)
  const proxy = await startProxy(t, etcd)
  const log = keepLog()
  const registry = openRegistry(t, proxy.endpoint, { logger: log, ttl: 20 })
  const registration = registry.register({ name: 'other', host: '10.0.0.1', port: 8000 })
  await registration.ready()
  let losses = 0
  registration.on('lost', () => {
    losses += 1
  })
  const before = proxy.bytes.down
  proxy.throttle(bytesPerSecond)
  return {
    etcd,
    writer,
    proxy,
    registry,
    registration,
    log,
    needed: entries.reduce((sum, { put, value }) => sum + put.length + value.length + OVERHEAD, 0),
    get sent() {
      return proxy.bytes.down - before
    },
    get losses() {
      return losses
    },
  }
}

test.concurrent.for([
  { link: '64 kbit/s', bytesPerSecond: 8000, instances: 200 },
  { link: '1 Mbit/s', bytesPerSecond: MBIT, instances: 3000 },
])(
  '$instances instances over $link: everything is sent once, and the lease lives',
  async ({ bytesPerSecond, instances }, t) => {
    const slow = await startSlow(t, { bytesPerSecond, instances })
    const { discovery, witness } = await discover(slow.registry, 'web')
    t.expect(slow.sent).toBeLessThan(1.3 * slow.needed)
    t.expect(discovery.instances).toHaveLength(instances)
    await expectConverged(witness, slow.etcd, '/services/web/')
    t.expect(slow.losses).toBe(0)
    t.expect(slow.registration.state).toBe('registered')
    t.expect(slow.log.of('warn')).toEqual([])
    t.expect(slow.log.of('info').filter(line => line.includes('answers again'))).toEqual([])
  },
)

test.concurrent.for([
  { link: '64 kbit/s', bytesPerSecond: 8000, instances: 200, each: 2000 },
  { link: '1 Mbit/s', bytesPerSecond: MBIT, instances: 3000, each: 3000 },
])(
  '$instances instances over $link, in a store whose history is compacted meanwhile: what was read is not read again',
  async ({ bytesPerSecond, instances, each }, t) => {
    const slow = await startSlow(t, { bytesPerSecond, instances })
    let [over, compactions] = [false, 0]
    /** Changes what was read first, and lets nobody go on from what it was. */
    const disturb = async () => {
      for (; !over; compactions += 1) {
        await sleep(each)
        const id = (n: number) => `n${String(n).padStart(5, '0')}`
        const [gone, changed, added] = [id(3 * compactions), id(3 * compactions + 1), `m${compactions}`]
        await slow.etcd.etcdctl('del', `/services/web/${gone}`)
        for (const put of [changed, added])
          await slow.writer.put(
            `/services/web/${put}`,
            valueFor('web', put, { version: String(compactions) }),
          )
        await slow.etcd.compact()
      }
    }
    const disturbing = disturb()
    const { discovery, witness } = await discover(slow.registry, 'web')
    over = true
    await disturbing
    t.expect(compactions).toBeGreaterThan(1)
    await until(() => !discovery.stale)
    await expectConverged(witness, slow.etcd, '/services/web/')
    // The keys once more for each compaction in what is left to read, which takes less each time.
    t.expect(slow.sent).toBeLessThan(3 * slow.needed)
    t.expect(slow.losses).toBe(0)
  },
)
