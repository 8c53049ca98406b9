import { type Etcd, startEtcd, startEtcdBinary } from '@etcd-register/testing'
import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { type Answer, type EtcdClient, etcdClient } from '../support/etcd-client.ts'
import { etcdVersion } from './conform.ts'

let etcds: Etcd[]
let clients: EtcdClient[] = []
/** Whether both hold the same, after the calls of former runs. */
let alike = true

const connect = () => {
  for (const client of clients) client.close()
  clients = etcds.map(({ endpoint }) => etcdClient(endpoint))
}

beforeAll(async () => {
  etcds = await Promise.all([startEtcdBinary(), startEtcd({ version: etcdVersion })])
  connect()
})
afterAll(async () => {
  for (const client of clients) client.close()
  await Promise.all(etcds.map(etcd => etcd.stop()))
})

type Request = Record<string, unknown>

/** One call; what names a revision is given as so many before the current one. */
interface Step {
  rpc: string
  request: Request
}

const key = fc.constantFrom('a', 'b', 'ba', 'c', '\u00e9')
const rangeEnd = fc.option(fc.constantFrom('b', 'c', '\0', 'ba', ''), { nil: undefined })
const value = fc.constantFrom('', 'x', 'y')
const lease = fc.constantFrom(0, 0, 0, 1, 2, 3)
/** Mostly past, sometimes still to come, or one that no store has. */
const ago = fc.oneof(
  { weight: 9, arbitrary: fc.integer({ min: -1, max: 6 }).map(before => ({ ago: before })) },
  { weight: 1, arbitrary: fc.integer({ min: -3, max: 1 }) },
)
const maybe = <T>(arbitrary: fc.Arbitrary<T>) => fc.option(arbitrary, { nil: undefined, freq: 2 })
const rarely = fc.oneof(
  { weight: 5, arbitrary: fc.constant(false) },
  { weight: 1, arbitrary: fc.constant(true) },
)

const range = fc.record({
  ...{ key, range_end: rangeEnd, revision: maybe(ago), limit: fc.integer({ min: 0, max: 3 }) },
  sort_order: fc.constantFrom('None', 'Ascend', 'Descend'),
  sort_target: fc.constantFrom('Key', 'Version', 'Create', 'Mod', 'Value'),
  ...{ keys_only: rarely, count_only: rarely, min_mod_revision: maybe(ago), max_create_revision: maybe(ago) },
})
const put = fc.record({
  ...{ key, value, lease, prev_kv: fc.boolean(), ignore_value: rarely, ignore_lease: rarely },
})
const remove = fc.record({ key, range_end: rangeEnd, prev_kv: fc.boolean() })
const compare = fc
  .tuple(
    fc.record({
      ...{ key, range_end: rangeEnd, result: fc.constantFrom('Equal', 'NotEqual', 'Greater', 'Less') },
    }),
    fc.oneof(
      fc.record({ target: fc.constant('Version'), version: fc.integer({ min: 0, max: 3 }) }),
      fc.record({ target: fc.constant('Create'), create_revision: ago }),
      fc.record({ target: fc.constant('Mod'), mod_revision: ago }),
      fc.record({ target: fc.constant('Value'), value }),
      fc.record({ target: fc.constant('Lease'), lease }),
    ),
  )
  .map(([where, what]) => ({ ...where, ...what }))

const { txn } = fc.letrec<{ op: Request; txn: Request }>(tie => ({
  op: fc.oneof(
    { depthSize: 'small', withCrossShrink: true },
    { weight: 3, arbitrary: put.map(request_put => ({ request_put })) },
    { weight: 2, arbitrary: range.map(request_range => ({ request_range })) },
    { weight: 1, arbitrary: remove.map(request_delete_range => ({ request_delete_range })) },
    { weight: 1, arbitrary: tie('txn').map(request_txn => ({ request_txn })) },
  ),
  txn: fc.record({
    compare: fc.array(compare, { maxLength: 2 }),
    success: fc.array(tie('op'), { maxLength: 3 }),
    failure: fc.array(tie('op'), { maxLength: 2 }),
  }),
}))

const call = (rpc: string, request: fc.Arbitrary<Request>): fc.Arbitrary<Step> =>
  request.map(request => ({ rpc, request }))
const ID = fc.integer({ min: 1, max: 4 })
const step = fc.oneof(
  { weight: 6, arbitrary: call('Put', put) },
  { weight: 4, arbitrary: call('Range', range) },
  { weight: 2, arbitrary: call('DeleteRange', remove) },
  { weight: 6, arbitrary: call('Txn', txn) },
  { weight: 2, arbitrary: call('LeaseGrant', fc.record({ ID, TTL: fc.constantFrom(500, 1000) })) },
  { weight: 1, arbitrary: call('LeaseRevoke', fc.record({ ID })) },
  { weight: 1, arbitrary: call('LeaseTimeToLive', fc.record({ ID, keys: fc.boolean() })) },
  { weight: 1, arbitrary: call('Compact', fc.record({ revision: ago, physical: fc.constant(true) })) },
)

/** With the revisions that are meant. */
function at(revision: number, part: Answer): Answer {
  if (Array.isArray(part)) return part.map(item => at(revision, item))
  if (typeof part !== 'object' || part === null) return part
  if ('ago' in part) return revision - part.ago
  return Object.fromEntries(Object.entries(part).map(([name, value]) => [name, at(revision, value)]))
}

/** What has to be the same: all but the ids of cluster and member, the time that passes, and an order that etcd leaves open. */
function comparable(answer: Answer): Answer {
  const { cluster_id, member_id, raft_term, ...header } = answer.header
  const keys = answer.keys?.map(String).sort()
  return { ...answer, header, ...(keys && { keys, TTL: Number(answer.TTL) > 0 }) }
}

async function onBoth(rpc: string, request: Request): Promise<Answer> {
  const [real, embedded] = await Promise.all(
    clients.map(client =>
      client.call(rpc, request).then(comparable, ({ code, details }) => ({ code, details })),
    ),
  )
  expect(embedded, `${rpc} ${JSON.stringify(request)}`).toEqual(real)
  return real
}

const everything = { key: '\0', range_end: '\0' }

async function clear(): Promise<number> {
  if (!alike) {
    await Promise.all(etcds.map(etcd => etcd.wipe()))
    connect()
  }
  alike = false
  for (const ID of [1, 2, 3, 4]) await onBoth('LeaseRevoke', { ID })
  await onBoth('DeleteRange', everything)
  return revisionOf(await onBoth('Range', { key: 'a' }))
}

const revisionOf = ({ header }: Answer) => Number(header.revision)

/** All events from a revision up to the last one, or the revision from which on there still are some. */
async function history(client: EtcdClient, first: number, last: number): Promise<Answer> {
  const stream = client.stream('Watch')
  stream.send({ create_request: { ...everything, start_revision: first } })
  const isLast = ({ canceled, header, events }: Answer) =>
    canceled || header.revision === '0' || Number(events.at(-1)?.kv.mod_revision) === last
  const answers = await stream.until(isLast)
  stream.cancel()
  const { header, canceled, compact_revision } = answers.at(-1)
  return canceled || header.revision === '0'
    ? { canceled, compact_revision }
    : answers.flatMap(({ events }) => events)
}

let compared = 0

test('the same calls in any order get the same answers and the same history from both', async () => {
  const property = fc.asyncProperty(
    fc.array(step, { minLength: 5, maxLength: 40 }),
    fc.integer({ min: 0, max: 10 }),
    fc.constantFrom(-3, -2, 1),
    async (steps, back, low) => {
      const start = await clear()
      let revision = start
      for (const { rpc, request } of steps) {
        const answer = await onBoth(rpc, at(revision, request))
        if (answer.header !== undefined) revision = revisionOf(answer)
      }
      const { header } = await onBoth('Put', { key: 'last', value: '' })
      const last = Number(header.revision)
      for (const first of [start + 1, Math.max(1, last - back), low]) {
        const [real, embedded] = await Promise.all(clients.map(client => history(client, first, last)))
        expect(embedded).toEqual(real)
      }
      alike = true
      compared += 1
    },
  )
  const runs = Number(process.env.PROPERTY_RUNS ?? 40)
  await fc.assert(property, { numRuns: runs, interruptAfterTimeLimit: 60_000, markInterruptAsFailure: false })
  // what was interrupted before it compared anything has shown nothing
  expect(compared).toBeGreaterThanOrEqual(Math.min(runs, 10))
}, 120_000)
