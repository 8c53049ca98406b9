import { type Etcd, type EtcdAuthOptions, startEtcd, startEtcdBinary } from '@etcd-register/testing'
import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { type Answer, type EtcdClient, etcdClient } from '../support/etcd-client.ts'
import { etcdVersion, since } from './conform.ts'

/** How many calls are compared, with authentication and without together. */
const OPERATIONS = Number(process.env.FUZZ_OPERATIONS ?? 1_000)

/** A run can be had once more with the seed in the name of its test. */
const SEED = Number(process.env.FUZZ_SEED ?? Math.floor(Math.random() * 2 ** 31))

type Request = Record<string, unknown>

/** One call; what names a revision is given as so many before the current one. */
interface Step {
  rpc: string
  request: Request
  /** Undefined: who does not say who it is. */
  user: string | undefined
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

const USERS = ['writer', 'reader', 'blind', 'mixed']
const user = fc.constantFrom(...USERS, ...USERS, 'root', 'root', 'nobody', 'stranger', undefined)
/** Whether a transaction deletes, here or in one that is nested. */
const deletes = ({ success, failure }: Answer): boolean =>
  [...success, ...failure].some(op => op.request_delete_range || (op.request_txn && deletes(op.request_txn)))

/** etcd ends where a put wants to keep what the same transaction has deleted. */
function keepsNothing({ success, failure, ...rest }: Answer): Request {
  const without = ({ request_put, request_txn, ...op }: Answer) => ({
    ...op,
    ...(request_put && { request_put: { ...request_put, ignore_value: false, ignore_lease: false } }),
    ...(request_txn && { request_txn: keepsNothing(request_txn) }),
  })
  return { ...rest, success: success.map(without), failure: failure.map(without) }
}

const call = (rpc: string, request: fc.Arbitrary<Request>, as = user): fc.Arbitrary<Step> =>
  fc.record({ rpc: fc.constant(rpc), request, user: as })
const ID = fc.integer({ min: 1, max: 4 })
const data = [
  { weight: 6, arbitrary: call('Put', put) },
  { weight: 4, arbitrary: call('Range', range) },
  { weight: 2, arbitrary: call('DeleteRange', remove) },
  {
    weight: 6,
    arbitrary: call(
      'Txn',
      txn.map(request => (deletes(request) ? keepsNothing(request) : request)),
    ),
  },
  { weight: 2, arbitrary: call('LeaseGrant', fc.record({ ID, TTL: fc.constantFrom(500, 1000) })) },
  { weight: 1, arbitrary: call('LeaseRevoke', fc.record({ ID })) },
  { weight: 1, arbitrary: call('LeaseTimeToLive', fc.record({ ID, keys: fc.boolean() })) },
  { weight: 1, arbitrary: call('LeaseLeases', fc.constant({})) },
  { weight: 1, arbitrary: call('LeaseKeepAlive', fc.record({ ID })) },
  { weight: 1, arbitrary: call('Watch', fc.record({ key, range_end: rangeEnd })) },
  { weight: 1, arbitrary: call('Compact', fc.record({ revision: ago, physical: fc.constant(true) })) },
  ...(since('3.7') ? [{ weight: 2, arbitrary: call('RangeStream', range) }] : []),
]

const name = fc.constantFrom(...USERS)
const administrator = fc.constantFrom('root', 'root', 'root', 'writer', undefined)
const permission = fc
  .record({ permType: fc.constantFrom('Read', 'Write', 'Readwrite'), key, range_end: rangeEnd })
  // 3.4 takes a range that ends before it starts
  .filter(({ key, range_end: end }) => since('3.5') || !end || end === '\0' || end > key)
const manage = (rpc: string, request: fc.Arbitrary<Request>) => call(rpc, request, administrator)
const management = [
  { weight: 2, arbitrary: manage('RoleGrantPermission', fc.record({ name, perm: permission })) },
  {
    weight: 1,
    arbitrary: manage('RoleRevokePermission', fc.record({ role: name, key, range_end: rangeEnd })),
  },
  { weight: 1, arbitrary: manage('UserGrantRole', fc.record({ user: name, role: name })) },
  { weight: 1, arbitrary: manage('UserRevokeRole', fc.record({ name, role: name })) },
  { weight: 1, arbitrary: call('RoleGet', fc.record({ role: name })) },
  { weight: 1, arbitrary: call('UserGet', fc.record({ name })) },
  ...['UserList', 'RoleList', 'Status', 'MemberList', 'Alarm', ...(since('3.5') ? ['AuthStatus'] : [])].map(
    rpc => ({ weight: 1, arbitrary: call(rpc, fc.constant({})) }),
  ),
]

/** With the revisions that are meant. */
function at(revision: number, part: Answer): Answer {
  if (Array.isArray(part)) return part.map(item => at(revision, item))
  if (typeof part !== 'object' || part === null) return part
  if ('ago' in part) return revision - part.ago
  return Object.fromEntries(Object.entries(part).map(([name, value]) => [name, at(revision, value)]))
}

/** Without ranges that end before they start: what permission etcd wants for one depends on the order of its permissions. */
function forwards(part: Answer): Answer {
  if (Array.isArray(part)) return part.map(forwards)
  if (typeof part !== 'object' || part === null) return part
  const kept = Object.entries(part).map(([name, value]) => [name, forwards(value)])
  const { key, range_end: end } = part
  const reversed = end && end !== '\0' && end <= key
  return Object.fromEntries(kept.filter(([name]) => !(reversed && name === 'range_end')))
}

/** Whether the TTL that is left is one. */
const alive = ({ TTL }: Answer) => ({ TTL: Number(TTL) > 0 })

/** What has to be the same: all but the ids of cluster and member, the time that passes, and orders that etcd leaves open. */
function comparable(rpc: string, answer: Answer): Answer {
  if (rpc === 'Status' || rpc === 'MemberList') return 'answered'
  const { cluster_id, member_id, raft_term, ...header } = answer.header ?? {}
  const keys = answer.keys?.map(String).sort()
  const leases = answer.leases?.map(({ ID }: Answer) => ID).sort()
  return {
    ...{ ...answer, header },
    ...(keys && { keys }),
    ...(leases && { leases }),
    ...(answer.TTL !== undefined && alive(answer)),
  }
}

const everything = { key: '\0', range_end: '\0' }

const revisionOf = ({ header }: Answer) => Number(header.revision)

const PASSWORD = 'secret'

/** Both etcds, with who is logged in to them. */
class Pair {
  readonly #etcds: Etcd[]
  readonly #withAuth: boolean
  #sides: { client: EtcdClient; tokens: Map<string, string> }[] = []
  /** Whether both hold the same, after the calls of former runs. */
  alike = false
  operations = 0

  private constructor(etcds: Etcd[], withAuth: boolean) {
    this.#etcds = etcds
    this.#withAuth = withAuth
  }

  static async start(auth: EtcdAuthOptions | undefined): Promise<Pair> {
    const options = auth === undefined ? {} : { auth }
    const etcds = [startEtcdBinary(options), startEtcd({ ...options, version: etcdVersion })]
    return new Pair(await Promise.all(etcds), auth !== undefined)
  }

  #disconnect() {
    for (const { client } of this.#sides) client.close()
  }

  async stop() {
    this.#disconnect()
    await Promise.all(this.#etcds.map(etcd => etcd.stop()))
  }

  async connect() {
    this.#disconnect()
    this.#sides = await Promise.all(
      this.#etcds.map(async ({ endpoint }) => {
        const client = etcdClient(endpoint)
        const tokens = new Map([['stranger', 'none.1']])
        if (this.#withAuth) {
          for (const name of [...USERS, 'root', 'nobody']) {
            tokens.set(name, (await client.call('Authenticate', { name, password: PASSWORD })).token)
          }
        }
        return { client, tokens }
      }),
    )
  }

  async onBoth(rpc: string, request: Request, user: string | undefined = 'root'): Promise<Answer> {
    const [real, embedded] = await Promise.all(
      this.#sides.map(({ client, tokens }) => {
        const token = user === undefined ? undefined : tokens.get(user)
        return ask(client, rpc, request, token).then(
          answer => comparable(rpc, answer),
          ({ code, details }) => ({ code, details }),
        )
      }),
    )
    expect(embedded, `${rpc} ${JSON.stringify(request)} of ${user}`).toEqual(real)
    // what is over for both has shown nothing
    expect(real.code, real.details).not.toBe(14)
    this.operations += 1
    return real
  }

  /** The same for both, without keys and leases; returns the revision. */
  async clear(): Promise<number> {
    if (!this.alike) {
      await Promise.all(this.#etcds.map(etcd => etcd.wipe()))
      await this.connect()
    }
    this.alike = false
    if (this.#withAuth) await this.#resetRights()
    for (const ID of [1, 2, 3, 4]) await this.onBoth('LeaseRevoke', { ID })
    await this.onBoth('DeleteRange', everything)
    return revisionOf(await this.onBoth('Range', { key: 'a' }))
  }

  async #resetRights() {
    for (const name of USERS) {
      await this.onBoth('RoleDelete', { role: name })
      await this.onBoth('RoleAdd', { name })
      await this.onBoth('UserGrantRole', { user: name, role: name })
    }
    const all = { key: 'a', range_end: 'c' }
    await this.onBoth('RoleGrantPermission', { name: 'writer', perm: { permType: 'Readwrite', ...all } })
    await this.onBoth('RoleGrantPermission', { name: 'reader', perm: { permType: 'Read', ...all } })
    await this.onBoth('RoleGrantPermission', { name: 'blind', perm: { permType: 'Write', ...all } })
  }

  async compareHistories(first: number, last: number) {
    const [real, embedded] = await Promise.all(
      this.#sides.map(({ client, tokens }) => history(client, first, last, tokens.get('root'))),
    )
    expect(embedded, `the history from ${first} to ${last}`).toEqual(real)
  }
}

/** A call, or the first message of a stream. */
async function ask(client: EtcdClient, rpc: string, request: Request, token?: string): Promise<Answer> {
  if (rpc === 'RangeStream') {
    const answers = await client.feed(rpc, request, token).until(({ code }) => code !== undefined)
    const { code, details } = answers.pop()
    return {
      answers: answers.map(answer => comparable(rpc, answer.range_response)),
      code,
      ...(code !== 0 && { details }),
    }
  }
  if (rpc !== 'Watch' && rpc !== 'LeaseKeepAlive') return client.callBare(rpc, request, token)
  const stream = client.stream(rpc, token)
  stream.send(rpc === 'Watch' ? { create_request: request } : request)
  const answer = await stream.next()
  stream.cancel()
  return answer
}

/** All events from a revision up to the last one, or the revision from which on there still are some. */
async function history(client: EtcdClient, first: number, last: number, token?: string): Promise<Answer> {
  const stream = client.stream('Watch', token)
  stream.send({ create_request: { ...everything, start_revision: first, prev_kv: true } })
  const patience = setTimeout(() => stream.cancel(), 20_000)
  const isLast = ({ code, canceled, header, events }: Answer) =>
    code !== undefined ||
    canceled ||
    header.revision === '0' ||
    Number(events.at(-1)?.kv.mod_revision) === last
  const answers = await stream.until(isLast)
  clearTimeout(patience)
  stream.cancel()
  const { code, header, canceled, compact_revision, cancel_reason } = answers.at(-1)
  if (code !== undefined) throw new Error(`a watch from ${first} on ends with ${code}, or never`)
  return canceled || header.revision === '0'
    ? { canceled, compact_revision, cancel_reason }
    : answers.flatMap(({ events }) => events)
}

describe(`the same calls in any order get the same answers and the same history from both, FUZZ_SEED=${SEED}`, () => {
  const users = [...USERS, 'nobody'].map(name => ({ name, password: PASSWORD }))
  test.each([
    ['without authentication', undefined, fc.oneof(...data)],
    [
      'with authentication',
      { rootPassword: PASSWORD, users },
      fc.oneof(
        { weight: 3, arbitrary: fc.oneof(...data) },
        { weight: 1, arbitrary: fc.oneof(...management) },
      ),
    ],
  ] as const)(
    '%s',
    async (_, auth, step) => {
      const pair = await Pair.start(auth as EtcdAuthOptions | undefined)
      const property = fc.asyncProperty(
        fc.array(step, { minLength: 5, maxLength: 40, size: 'max' }),
        fc.integer({ min: 0, max: 10 }),
        fc.constantFrom(-3, -2, 1),
        async (steps, back, low) => {
          const start = await pair.clear()
          let revision = start
          for (const { rpc, request, user } of steps) {
            const who = auth === undefined && user === 'stranger' ? undefined : user
            const asked = auth === undefined || rpc === 'RoleGrantPermission' ? request : forwards(request)
            const answer = await pair.onBoth(rpc, at(revision, asked), who)
            if (Number(answer.header?.revision) > revision) revision = revisionOf(answer)
          }
          const last = revisionOf(await pair.onBoth('Put', { key: 'last', value: '' }))
          for (const first of [start + 1, Math.max(1, last - back), low])
            await pair.compareHistories(first, last)
          pair.alike = true
        },
      )
      try {
        for (let round = 0; pair.operations < OPERATIONS / 2; round++) {
          await fc.assert(property, {
            endOnFailure: process.env.DEV !== undefined,
            seed: SEED + round,
            numRuns: 5,
            interruptAfterTimeLimit: 300_000,
            markInterruptAsFailure: true,
          })
        }
      } finally {
        await pair.stop()
      }
      expect(pair.operations).toBeGreaterThanOrEqual(OPERATIONS / 2)
    },
    60_000 + OPERATIONS * 100,
  )
})
