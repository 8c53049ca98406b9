import type { EtcdMember } from '@etcd-register/testing'
import { type TestContext, test, vi } from 'vitest'
import { expectConverged, Witness } from '../support/oracle.ts'
import { valueFor } from '../support/raw-writer.ts'
import {
  discover,
  keepLog,
  nextEvent,
  openRegistry,
  openWriter,
  startEtcd,
  startProxy,
  untilFresh,
} from '../support/read-side.ts'

const reader = { username: 'reader', password: 'right' }
const root = { username: 'root', password: 'top' }

function startGuarded(t: TestContext, onLine: (line: string) => void = () => {}): Promise<EtcdMember> {
  return startEtcd(t, {
    auth: {
      rootPassword: root.password,
      tokenTtl: 1,
      users: [
        {
          name: reader.username,
          password: reader.password,
          role: { prefix: '/services/open', permission: 'read' },
        },
      ],
    },
    args: ['--log-level', 'debug'], // the level at which newer etcd says that a token expired
    logger: { debug: (_, line) => onLine(line) },
  })
}

/** Counts the tokens of `reader` that etcd has let expire. */
function expiries() {
  const seen = { count: 0 }
  const onLine = (line: string) => {
    if (line.includes('deleted a simple token') && line.includes(`"${reader.username}"`)) seen.count += 1
  }
  return { seen, onLine }
}

const put = (service: string, id: string) => ({
  put: `/services/${service}/${id}`,
  value: valueFor(service, id),
})

test.concurrent('a token that expired while the link was cut is renewed', async t => {
  const { seen, onLine } = expiries()
  const etcd = await startGuarded(t, onLine)
  const proxy = await startProxy(t, etcd)
  const registry = openRegistry(t, proxy.endpoint, { auth: reader })
  const writer = openWriter(t, etcd.endpoint, root)
  await writer.write([put('open', 'a')])
  const { discovery, witness } = await discover(registry, 'open')
  await untilFresh(discovery)
  await proxy.cut()
  await nextEvent(discovery, 'stale')
  // It is not used any more, so that it ends, if a slow machine has not let it end before.
  await vi.waitFor(() => t.expect(seen.count).toBeGreaterThan(0), { timeout: 30_000 })
  await writer.write([put('open', 'b'), { del: '/services/open/a' }])
  await proxy.restore()
  await expectConverged(witness, etcd, '/services/open/')
  t.expect(registry.status().watches[0]).toMatchObject({ relists: 0 })
})

test.concurrent('a discovery that starts after the token of the open stream expired gets through', async t => {
  const { seen, onLine } = expiries()
  const etcd = await startGuarded(t, onLine)
  const registry = openRegistry(t, etcd.endpoint, { auth: reader })
  const writer = openWriter(t, etcd.endpoint, root)
  const first = await discover(registry, 'open')
  await untilFresh(first.discovery)
  await vi.waitFor(() => t.expect(seen.count).toBeGreaterThan(0), { timeout: 30_000 })
  await writer.write([put('open', 'a'), put('open2', 'a')])
  const second = await discover(registry, 'open2')
  await untilFresh(second.discovery)
  await writer.write([put('open', 'b'), put('open2', 'b')])
  await expectConverged(first.witness, etcd, '/services/open/')
  await expectConverged(second.witness, etcd, '/services/open2/')
})

test.concurrent('a registry that may read nothing is not connected, as its status says', async t => {
  const etcd = await startGuarded(t)
  const logger = keepLog()
  const registry = openRegistry(t, etcd.endpoint, { auth: reader, logger })
  const secret = registry.discover('secret')
  await t.expect(secret.ready()).rejects.toMatchObject({ code: 'ERR_ETCD_PERMISSION' })
  t.expect(registry.status().etcd).toMatchObject({
    connection: 'down',
    lastError: { code: 'ERR_ETCD_PERMISSION' },
  })
  t.expect(logger.of('warn')).toHaveLength(1)
  await discover(registry, 'open')
  t.expect(registry.status().etcd.connection).toBe('up')
})

test.concurrent('no permission: ready() says what to do, other discoveries go on, and a grant mends it', async t => {
  const etcd = await startGuarded(t)
  const logger = keepLog()
  const registry = openRegistry(t, etcd.endpoint, { auth: reader, logger })
  const writer = openWriter(t, etcd.endpoint, root)
  const open = await discover(registry, 'open')
  await untilFresh(open.discovery)
  let stales = 0
  open.discovery.on('stale', () => {
    stales += 1
  })
  const secret = registry.discover('secret')
  const witness = new Witness(secret)
  const refused = secret.ready()
  await t.expect(refused).rejects.toMatchObject({ code: 'ERR_ETCD_PERMISSION', retryable: false })
  await t
    .expect(refused)
    .rejects.toThrow(/user "reader".*needs a role with read permission for "\/services\/secret\/"; grant/)
  t.expect(secret).toMatchObject({ instances: [], stale: true })
  const warnings = () => logger.of('warn').filter(line => line.includes('secret'))
  t.expect(warnings()).toEqual([
    t.expect.stringMatching(/refused a read.*"\/services\/secret\/".*Retrying\.$/),
  ])
  t.expect(registry.status().watches.find(({ name }) => name === 'secret')).toMatchObject({
    lastError: { code: 'ERR_ETCD_PERMISSION' },
  })
  await writer.write([put('open', 'a'), put('secret', 'a')])
  await expectConverged(open.witness, etcd, '/services/open/')
  t.expect(stales).toBe(0)

  await etcd.etcdctl(
    'role',
    'grant-permission',
    '--prefix=true',
    reader.username,
    'read',
    '/services/secret/',
  )
  await expectConverged(witness, etcd, '/services/secret/')
  await secret.ready()
  t.expect(warnings().slice(1)).toEqual(['the keys of "secret" can be read again'])
  t.expect(JSON.stringify([logger.lines, registry.status()])).not.toContain(reader.password)
})
