import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import type { Registry, RegistryOptions, RegistryStatus } from '@etcd-register/core'
import { createCertificateAuthority, type EtcdMember } from '@etcd-register/testing'
import { expect, type TestContext, test } from 'vitest'
import { startHostileEtcd, TRICKS } from '../../../fixtures/hostile-etcd/index.ts'
import type { ErrorCode } from '../src/etcd/support/errors.ts'
import { createRegistry } from '../src/index.ts'
import { EtcdUsers } from './security/etcd-users.ts'
import { impatientRegistry, type Watched } from './security/impatient-registry.ts'
import { raiseAlarm } from './support/alarm.ts'
import { rows } from './support/etcdctl-table.ts'
import { leaseOf } from './support/lease-of.ts'
import { forbidUnhandled } from './support/unhandled.ts'
import { until } from './support/until.ts'
import { aLink, anEtcd, orders } from './support/write-side.ts'

forbidUnhandled()

/** What the log has to say, in any order, once each: of the condition, then of its end. */
interface Lines {
  told: RegExp[]
  over: RegExp[]
}

type Scenario = (t: TestContext) => Promise<Lines | 'silent'>

const ANSWERS = /^etcd at \S+ answers again$/
const REGISTERED = /^registered: orders 192.0.2.1:8001, orders 192.0.2.1:8002, orders 192.0.2.1:8003$/

/** The table of docs/errors.md. */
const table = new Map(
  [
    ...readFileSync(new URL('../docs/errors.md', import.meta.url), 'utf8').matchAll(
      /^\| `(ERR_\w+)` \|.*?\|.*?\|(.*?)\|/gm,
    ),
  ].map(([, code, does]) => [code as ErrorCode, does!]),
)

function open(t: TestContext, options: RegistryOptions): Watched {
  const watched = impatientRegistry(options)
  t.onTestFinished(() => watched.registry.close())
  return watched
}

/** Three registrations and three discoveries, which what is about all of them concerns alike. */
function useIt(registry: Registry): void {
  for (const port of [8001, 8002, 8003]) registry.register(orders({ port }))
  for (const name of ['orders', 'users', 'carts']) registry.discover(name)
}

function codesIn({ etcd, registrations, watches }: RegistryStatus): (ErrorCode | undefined)[] {
  return [etcd, ...registrations, ...watches].map(({ lastError }) => lastError?.code)
}

const isWell = ({ etcd, registrations, watches }: RegistryStatus) =>
  etcd.connection === 'up' &&
  registrations.every(({ state }) => state === 'registered') &&
  watches.every(({ stale }) => !stale)

const wellAgain = ({ registry }: Watched) => until(() => isWell(registry.status()), { within: 60_000 })

/** Several tries later each line was told once; and once it is mended so was each of its end. */
async function toldOnce(
  { registry, warnings, tries }: Watched,
  code: ErrorCode,
  { told, over }: Lines,
  mend: () => unknown,
): Promise<Lines> {
  await until(() => codesIn(registry.status()).includes(code), {
    what: `a status with ${code}`,
    within: 60_000,
  })
  await until(() => warnings.length >= told.length)
  const before = tries()
  await until(() => tries() - before > 10, { within: 60_000 })
  expect(sorted(warnings, told)).toEqual(told.map(line => expect.stringMatching(line)))
  expect(isWell(registry.status())).toBe(false)
  await mend()
  await until(() => isWell(registry.status()) && warnings.length >= told.length + over.length, {
    within: 60_000,
  })
  expect(sorted(warnings.slice(told.length), over)).toEqual(over.map(line => expect.stringMatching(line)))
  return { told, over }
}

/** In the order of what is expected, the others last. */
function sorted(lines: readonly string[], expected: readonly RegExp[]): string[] {
  const place = (line: string) => {
    const at = expected.findIndex(pattern => pattern.test(line))
    return at < 0 ? expected.length : at
  }
  return [...lines].sort((one, other) => place(one) - place(other))
}

/** An etcd with authentication, and a user that may do nothing, whose password is `orders-pw`. */
async function guarded(t: TestContext): Promise<{ etcd: EtcdMember; users: EtcdUsers }> {
  const users = [{ name: 'orders', password: 'orders-pw' }]
  const etcd = await anEtcd(t, { auth: { rootPassword: 'root-pw', users } })
  return { etcd, users: new EtcdUsers(etcd) }
}

const grantAll = async (etcd: EtcdMember) => {
  await etcd.etcdctl('role', 'add', 'all')
  await etcd.etcdctl('role', 'grant-permission', '--prefix=true', 'all', 'readwrite', '/services/')
  await etcd.etcdctl('user', 'grant-role', 'orders', 'all')
}

/** A failure of the link, mended by itself. */
async function outage(
  t: TestContext,
  code: ErrorCode,
  fault: 'cut' | 'freeze',
  told: RegExp,
): Promise<Lines> {
  const link = await aLink(t, await anEtcd(t))
  const requestTimeout = fault === 'freeze' ? 1000 : 10_000
  const watched = open(t, { hosts: link.endpoint, ttl: 60, requestTimeout })
  useIt(watched.registry)
  await wellAgain(watched)
  await link[fault]()
  return toldOnce(watched, code, { told: [told], over: [ANSWERS] }, () => link.restore())
}

/** Discoveries go on after their history is gone: what is told is that etcd was away. */
async function lostHistory(
  t: TestContext,
  meanwhile: (etcd: EtcdMember) => Promise<unknown>,
): Promise<'silent'> {
  const etcd = await anEtcd(t)
  const link = await aLink(t, etcd)
  const watched = open(t, { hosts: link.endpoint })
  await etcd.etcdctl('put', '/services/orders/1', '10.0.0.1:8000')
  watched.registry.discover('orders', { format: 'plain' })
  await wellAgain(watched)
  await link.cut()
  await until(() => watched.warnings.length === 1)
  await meanwhile(etcd)
  await link.restore()
  await until(() => watched.registry.status().watches[0]!.relists === 1)
  await wellAgain(watched)
  expect(watched.warnings).toEqual([
    expect.stringContaining('cannot be reached'),
    expect.stringMatching(ANSWERS),
  ])
  return 'silent'
}

const SCENARIOS: Record<ErrorCode, Scenario> = {
  async ERR_INVALID_OPTION() {
    const lines: string[] = []
    const log = (_: object, message: string) => lines.push(message)
    const logger = { debug: log, info: log, warn: log, error: log }
    expect(() => createRegistry({ ttl: 1, logger })).toThrow(
      expect.objectContaining({ code: 'ERR_INVALID_OPTION' }),
    )
    expect(lines).toEqual([])
    return 'silent'
  },

  async ERR_CLOSED(t) {
    const etcd = await anEtcd(t)
    const { registry, warnings } = open(t, { hosts: etcd.endpoint })
    const waiting = [registry.register(orders()), registry.discover('orders')].map(one =>
      one.ready().catch(error => error.code),
    )
    await registry.close()
    expect(await Promise.all(waiting)).toEqual(['ERR_CLOSED', 'ERR_CLOSED'])
    expect(warnings).toEqual([])
    return 'silent'
  },

  async ERR_ABORTED(t) {
    const etcd = await anEtcd(t)
    const { registry, warnings } = open(t, { hosts: etcd.endpoint })
    const registration = registry.register(orders())
    const aborted = { signal: AbortSignal.abort() }
    const waits = [registration, registry.discover('orders')].map(one =>
      one.ready(aborted).catch(error => error.code),
    )
    expect(await Promise.all(waits)).toEqual(['ERR_ABORTED', 'ERR_ABORTED'])
    await registration.ready()
    expect(warnings).toEqual([])
    return 'silent'
  },

  async ERR_CONFLICT(t) {
    const etcd = await anEtcd(t)
    const [older, newer] = [open(t, { hosts: etcd.endpoint }), open(t, { hosts: etcd.endpoint })]
    useIt(older.registry)
    await wellAgain(older)
    const first = newer.registry.register(orders({ port: 8001 }))
    await until(() => older.warnings.length > 0)
    expect(older.registry.status().registrations[0]).toMatchObject({
      state: 'conflict',
      lastError: { code: 'ERR_CONFLICT' },
    })
    // A second one in this registry has no chance as long as the first one is there.
    newer.registry.register(orders({ port: 8001 }))
    await toldOnce(
      newer,
      'ERR_CONFLICT',
      { told: [/has a registration under/], over: [/^registered: orders 192.0.2.1:8001$/] },
      () => first.deregister(),
    )
    await newer.registry.close()
    await wellAgain(older)
    const lines = {
      told: [/another registry of this process registered/],
      over: [/^registered: orders 192.0.2.1:8001$/],
    }
    expect(older.warnings).toEqual([...lines.told, ...lines.over].map(line => expect.stringMatching(line)))
    return lines
  },

  async ERR_NO_ADDRESS(t) {
    const etcd = await anEtcd(t)
    const watched = open(t, { hosts: etcd.endpoint })
    process.env.POD_IP = 'no host!'
    t.onTestFinished(() => {
      delete process.env.POD_IP
    })
    for (const port of [8001, 8002, 8003]) watched.registry.register({ name: 'orders', port })
    return toldOnce(
      watched,
      'ERR_NO_ADDRESS',
      {
        told: [/POD_IP must be/],
        over: [/^there is an address to advertise now: 192.0.2.1 \(environment\)$/],
      },
      () => {
        process.env.POD_IP = '192.0.2.1'
      },
    )
  },

  async ERR_CREDENTIALS(t) {
    const { etcd } = await guarded(t)
    await grantAll(etcd)
    let works = false
    const auth = async () => {
      if (!works) throw new Error('the vault is sealed')
      return { username: 'orders', password: 'orders-pw' }
    }
    const watched = open(t, { hosts: etcd.endpoint, auth })
    useIt(watched.registry)
    const lines = { told: [/the function "auth" failed \(it threw Error/], over: [ANSWERS, REGISTERED] }
    return toldOnce(watched, 'ERR_CREDENTIALS', lines, () => {
      works = true
    })
  },

  async ERR_ETCD_CLIENT(t) {
    const etcd = await anEtcd(t)
    const folder = mkdtempSync(join(tmpdir(), 'client-'))
    t.onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    cpSync(fileURLToPath(new URL('../dist', import.meta.url)), join(folder, 'dist'), { recursive: true })
    mkdirSync(join(folder, 'node_modules/etcd3'), { recursive: true })
    const client = join(folder, 'node_modules/etcd3/index.js')
    writeFileSync(client, 'throw new Error("not yet")')
    const repaired = `module.exports = require(${JSON.stringify(createRequire(import.meta.url).resolve('etcd3'))})`
    writeFileSync(
      join(folder, 'app.mjs'),
      `
import { writeFileSync } from 'node:fs'
import { createRegistry } from './dist/index.mjs'
const warnings = []
const logger = { debug() {}, info() {}, warn: (_, text) => warnings.push(text), error() {} }
const registry = createRegistry({ hosts: ${JSON.stringify(etcd.endpoint)}, logger })
const registrations = [8001, 8002, 8003].map(port => registry.register({ name: 'orders', host: '192.0.2.1', port }))
const discoveries = ['orders', 'users', 'carts'].map(name => registry.discover(name))
const seen = new Set()
while (seen.size < 4) {
  seen.add(registry.status().etcd.lastError?.at)
  await new Promise(resolve => setTimeout(resolve, 20))
}
const { connection, lastError } = registry.status().etcd
writeFileSync(${JSON.stringify(client)}, ${JSON.stringify(repaired)})
while (registrations.some(({ state }) => state !== 'registered') || discoveries.some(({ stale }) => stale)) {
  await new Promise(resolve => setTimeout(resolve, 20))
}
const after = registry.status().etcd.connection
await registry.close()
console.log(JSON.stringify({ warnings, connection, code: lastError.code, after }))
`,
    )
    const { stdout } = await promisify(execFile)(process.execPath, [join(folder, 'app.mjs')])
    const { warnings, ...status } = JSON.parse(stdout)
    expect(status).toEqual({ connection: 'down', code: 'ERR_ETCD_CLIENT', after: 'up' })
    const lines = { told: [/etcd3 cannot be loaded/], over: [ANSWERS, REGISTERED] }
    expect(warnings).toEqual([...lines.told, ...lines.over].map(line => expect.stringMatching(line)))
    return lines
  },

  ERR_ETCD_UNAVAILABLE: t => outage(t, 'ERR_ETCD_UNAVAILABLE', 'cut', /cannot be reached.*Retrying\.$/),

  ERR_ETCD_TIMEOUT: t => outage(t, 'ERR_ETCD_TIMEOUT', 'freeze', /did not answer|cannot be reached/),

  async ERR_ETCD_TLS(t) {
    const etcd = await anEtcd(t, { tls: true })
    const folder = mkdtempSync(join(tmpdir(), 'ca-'))
    t.onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
    const ca = join(folder, 'ca.pem')
    writeFileSync(ca, (await createCertificateAuthority()).ca)
    const watched = open(t, { hosts: etcd.endpoint, tls: { ca } })
    useIt(watched.registry)
    const lines = { told: [/No secure connection.*tls\.ca/], over: [ANSWERS, REGISTERED] }
    return toldOnce(watched, 'ERR_ETCD_TLS', lines, () => writeFileSync(ca, etcd.tls!.ca))
  },

  async ERR_ETCD_AUTH(t) {
    const { etcd, users } = await guarded(t)
    await grantAll(etcd)
    const auth = { username: 'orders', password: 'changed-pw' }
    const watched = open(t, { hosts: etcd.endpoint, auth })
    useIt(watched.registry)
    const lines = { told: [/does not accept the credentials/], over: [ANSWERS, REGISTERED] }
    return toldOnce(watched, 'ERR_ETCD_AUTH', lines, () => users.changePassword('orders', 'changed-pw'))
  },

  async ERR_ETCD_PERMISSION(t) {
    const { etcd } = await guarded(t)
    const watched = open(t, { hosts: etcd.endpoint, auth: { username: 'orders', password: 'orders-pw' } })
    useIt(watched.registry)
    const ports = [8001, 8002, 8003]
    const names = ['orders', 'users', 'carts']
    return toldOnce(
      watched,
      'ERR_ETCD_PERMISSION',
      {
        told: [
          ...ports.map(port => new RegExp(`refused a write.*"/services/orders/192.0.2.1:${port}"`)),
          ...names.map(name => new RegExp(`refused a read.*"/services/${name}/"`)),
        ],
        over: [
          ...ports.map(port => new RegExp(`^registered: orders 192.0.2.1:${port}$`)),
          ...names.map(name => new RegExp(`^the keys of "${name}" can be read again$`)),
        ],
      },
      () => grantAll(etcd),
    )
  },

  async ERR_ETCD_NO_SPACE(t) {
    const etcd = await anEtcd(t, { quotaBytes: 400_000 })
    const watched = open(t, { hosts: etcd.endpoint })
    for (let full = false; !full; ) {
      full = await etcd.etcdctl('put', '/large', 'x'.repeat(50_000)).then(
        () => false,
        () => true,
      )
    }
    useIt(watched.registry)
    const lines = {
      told: [/database space exceeded.*alarm disarm/],
      over: [/takes writes again$/, REGISTERED],
    }
    return toldOnce(watched, 'ERR_ETCD_NO_SPACE', lines, async () => {
      const revision = /"revision":(\d+)/.exec(await etcd.etcdctl('get', '/', '-w', 'json'))![1]!
      await etcd.etcdctl('compact', revision)
      await etcd.etcdctl('defrag')
      await etcd.etcdctl('alarm', 'disarm')
    })
  },

  async ERR_ETCD_CORRUPT(t) {
    const etcd = await anEtcd(t)
    const watched = open(t, { hosts: etcd.endpoint })
    await raiseAlarm(etcd, 'ACTIVATE')
    useIt(watched.registry)
    const lines = { told: [/corrupt cluster.*alarm disarm/], over: [/takes writes again$/, REGISTERED] }
    return toldOnce(watched, 'ERR_ETCD_CORRUPT', lines, () => raiseAlarm(etcd, 'DEACTIVATE'))
  },

  async ERR_ETCD_REQUEST(t) {
    const etcd = await anEtcd(t, { args: ['--max-request-bytes', '4000'] })
    const watched = open(t, { hosts: etcd.endpoint })
    const registration = watched.registry.register(orders({ metadata: { note: 'x'.repeat(5000) } }))
    const lines = { told: [/request is too large/], over: [/^registered: orders 192.0.2.1:8000$/] }
    return toldOnce(watched, 'ERR_ETCD_REQUEST', lines, () => registration.update({ metadata: {} }))
  },

  ERR_ETCD_COMPACTED: t =>
    lostHistory(t, async etcd => {
      await etcd.etcdctl('put', '/services/orders/2', '10.0.0.2:8000')
      await etcd.compact()
    }),

  ERR_ETCD_FUTURE_REVISION: t => lostHistory(t, etcd => etcd.restart({ wipe: true })),

  async ERR_ETCD_LEASE_NOT_FOUND(t) {
    const etcd = await anEtcd(t)
    const watched = open(t, { hosts: etcd.endpoint })
    useIt(watched.registry)
    await wellAgain(watched)
    const { id } = leaseOf(watched.registry)
    await etcd.etcdctl('lease', 'revoke', id!)
    await until(() => leaseOf(watched.registry).losses === 1)
    await wellAgain(watched)
    await until(() => watched.warnings.length === 2)
    const lines = {
      told: [/^lost the lease .*lease-revoked/],
      over: [/^registered: orders 192.0.2.1:800[123]$/],
    }
    expect(watched.warnings).toEqual([...lines.told, ...lines.over].map(line => expect.stringMatching(line)))
    expect(await rows(etcd, '/services/')).toHaveLength(3)
    return lines
  },

  async ERR_ETCD_ANSWER(t) {
    const hostile = await startHostileEtcd(await anEtcd(t), TRICKS['a list: rows of foreign keys'])
    t.onTestFinished(() => hostile.stop())
    const watched = open(t, { hosts: hostile.endpoint })
    useIt(watched.registry)
    const lines = { told: [/sent an invalid answer/], over: [/sends valid answers again$/] }
    return toldOnce(watched, 'ERR_ETCD_ANSWER', lines, () => {
      hostile.trick = undefined
    })
  },

  async ERR_ETCD_STREAM(t) {
    const etcd = await anEtcd(t)
    const links = [await aLink(t, etcd), await aLink(t, etcd)]
    const watched = open(t, { hosts: links.map(({ endpoint }) => endpoint), ttl: 60 })
    useIt(watched.registry)
    await wellAgain(watched)
    const seen = new Set<ErrorCode | undefined>()
    const over = new Promise<void>(resolve => {
      const discovery = watched.registry.discover('orders')
      discovery.on('stale', () =>
        setImmediate(() => {
          for (const code of codesIn(watched.registry.status())) seen.add(code)
        }),
      )
      discovery.on('fresh', () => resolve())
    })
    // The watch stream is on one of them.
    for (const link of links) {
      await link.freeze()
      await Promise.race([over, sleep(8000)])
      await link.restore()
    }
    await over
    await wellAgain(watched)
    expect([...seen]).toContain('ERR_ETCD_STREAM')
    expect(watched.warnings).toEqual([])
    return 'silent'
  },
}

test('each code of docs/errors.md has a scenario here', () => {
  expect([...table.keys()].sort()).toEqual(Object.keys(SCENARIOS).sort())
})

test.concurrent.for([...table])(
  '%s is told of as docs/errors.md says, once, and so is its end',
  { timeout: 180_000 },
  async ([code, does], t) => {
    const lines = await SCENARIOS[code]!(t)
    const documented = does.includes('Logs once')
    expect(lines === 'silent' ? 'silent' : 'logged', does).toBe(documented ? 'logged' : 'silent')
  },
)
