import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { createRegistry, type FormatName, type RegistryOptions } from '@etcd-register/core'
import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { asModule, examplesIn } from '../../../../fixtures/readme-examples.ts'
import type { Cleanup } from '../support/write-side.ts'

const page = readFileSync(new URL('../../docs/security.md', import.meta.url), 'utf8')

/** The lines of the page, in their order, without the program. */
const commands = [...page.matchAll(/^```sh\n(.*?)^```$/gms)]
  .flatMap(([, block]) => block!.trim().split('\n'))
  .map(line => line.split(' ').slice(1))
/** Users and passwords that they make. */
const passwords = new Map(
  commands
    .filter(([what, verb]) => what === 'user' && verb === 'add')
    .map(words => words[2]!.split(':') as [string, string]),
)

/** The rows of the table of formats: the prefix of a service `orders`, and the root. */
const formats = [...page.matchAll(/^\| `([\w-]+)` \| `([^`]+)`(.*?)\| (.*?) \|$/gm)].map(
  ([, format, prefix, more, root]) => ({
    format: format as FormatName,
    prefix: prefix!,
    key: /`([^`]+)`/.exec(more!)?.[1],
    root: root!.replaceAll('`', ''),
  }),
)

let etcd: EtcdMember

/** Roles for each row: all that the page says, and less. */
function rolesOf({ format, prefix, key, root }: (typeof formats)[number]) {
  const readKey = key === undefined ? [] : [`read ${key}`]
  return {
    [`${format}-registers`]: [`readwrite --prefix=true ${prefix}`],
    [`${format}-discovers`]: [`read --prefix=true ${prefix}`, ...readKey],
    [`${format}-lists`]: readingAll(root),
    [`${format}-only-writes`]: [`write --prefix=true ${prefix}`],
    [`${format}-elsewhere`]: [`readwrite --prefix=true ${prefix.replace('orders', 'others')}`],
  }
}

function readingAll(root: string): string[] {
  if (root === 'only written') return []
  return [root === 'all keys' ? 'read --from-key=true ' : `read --prefix=true ${root}`]
}

async function add(role: string, grants: readonly string[]): Promise<void> {
  await etcd.etcdctl('role', 'add', role)
  for (const grant of grants) await etcd.etcdctl('role', 'grant-permission', role, ...grant.split(' '))
  await etcd.etcdctl('user', 'add', `${role}:${role}-pw`)
  await etcd.etcdctl('user', 'grant-role', role, role)
  passwords.set(role, `${role}-pw`)
}

beforeAll(async () => {
  etcd = await startEtcdBinary()
  await Promise.all(
    formats.map(async row => {
      for (const [role, grants] of Object.entries(rolesOf(row))) await add(role, grants)
    }),
  )
  await add('shop', ['readwrite --prefix=true /shop/orders/'])
  // Those of the page come last, since they switch authentication on.
  for (const words of commands) await etcd.etcdctl(...words)
})

afterAll(() => etcd?.stop())

const refused = { code: 'ERR_ETCD_PERMISSION' }

/** As this user; closed with the test. */
function as(t: Cleanup, username: string, more: RegistryOptions = {}) {
  const auth = { username, password: passwords.get(username)! }
  const registry = createRegistry({ hosts: etcd.endpoint, auth, logger: false, ...more })
  t.onTestFinished(() => registry.close())
  let count = 0
  return {
    register: (name: string) => {
      count += 1
      return registry.register({ name, host: `192.0.2.${count}`, port: 8000 }).ready()
    },
    discover: (name: string) => registry.discover(name).ready(),
    services: () => registry.services(),
  }
}

describe.concurrent('with the roles of docs/security.md', () => {
  test('a service registers itself, discovers another, and nothing else', async t => {
    const { register, discover, services } = as(t, 'orders')
    await Promise.all([register('orders'), discover('orders'), discover('payments')])
    await t.expect(register('payments')).rejects.toMatchObject(refused)
    await t.expect(discover('stock')).rejects.toMatchObject(refused)
    await t.expect(services()).rejects.toMatchObject(refused)
  })

  test('one that only discovers does not register', async t => {
    const { register, discover } = as(t, 'gateway')
    await discover('orders')
    await t.expect(register('orders')).rejects.toMatchObject(refused)
    await t.expect(discover('payments')).rejects.toMatchObject(refused)
  })

  test('one that only registers does not discover others', async t => {
    const { register, discover } = as(t, 'payments')
    await register('payments')
    await t.expect(discover('orders')).rejects.toMatchObject(refused)
  })

  test('one that lists all services discovers each, and registers none', async t => {
    const { register, discover, services } = as(t, 'operators')
    await Promise.all([services(), discover('orders'), discover('payments')])
    await t.expect(register('orders')).rejects.toMatchObject(refused)
  })
})

test('with a namespace the documented prefixes begin with it', async t => {
  expect(page).toContain(
    "With the option `namespace: '/shop'` the prefixes are `/shop/orders/` and `/shop/`.",
  )
  const { register, discover, services } = as(t, 'shop', { namespace: '/shop' })
  await Promise.all([register('orders'), discover('orders')])
  await expect(services()).rejects.toMatchObject(refused)
  await expect(as(t, 'shop').register('orders')).rejects.toMatchObject(refused)
})

test('the table of docs/security.md has every format', () => {
  const { message } = (() => {
    try {
      return createRegistry({ format: 'none' as never }) as never
    } catch (error) {
      return error as Error
    }
  })()
  const names = formats.map(({ format }) => format)
  for (const name of names) expect(message).toContain(name)
  expect(names).toHaveLength(9)
})

describe.concurrent.each(formats)('with format $format', ({ format, root }) => {
  test('the documented prefix is enough to register, and less is not', async t => {
    await as(t, `${format}-registers`, { format }).register('orders')
    for (const less of ['only-writes', 'elsewhere', 'discovers'])
      await t
        .expect(as(t, `${format}-${less}`, { format }).register('orders'), less)
        .rejects.toMatchObject(refused)
  })

  test('and to discover, where it can be read', async t => {
    if (root === 'only written') return
    await as(t, `${format}-discovers`, { format }).discover('orders')
    await as(t, `${format}-lists`, { format }).services()
    for (const less of ['only-writes', 'elsewhere']) {
      const { discover, services } = as(t, `${format}-${less}`, { format })
      await t.expect(discover('orders'), less).rejects.toMatchObject(refused)
      await t.expect(services(), less).rejects.toMatchObject(refused)
    }
    await t.expect(as(t, `${format}-discovers`, { format }).services()).rejects.toMatchObject(refused)
  })
})

test('the example of docs/security.md registers with a file as its password', async t => {
  const { code } = examplesIn(page, 'docs/security.md')[0]!
  const folder = mkdtempSync(join(tmpdir(), 'secrets-'))
  t.onTestFinished(() => rmSync(folder, { recursive: true }))
  const role = { prefix: '/services/orders/', permission: 'readwrite' } as const
  const users = [{ name: 'orders', password: 'pa55word', role }]
  const secure = await startEtcdBinary({ tls: true, auth: { rootPassword: 'root-pw', users } })
  t.onTestFinished(() => secure.stop())
  writeFileSync(join(folder, 'etcd-ca.pem'), secure.tls!.ca)
  writeFileSync(join(folder, 'etcd-password'), 'pa55word\n')
  const module = asModule(code)
    .replaceAll('/run/secrets', folder)
    .replace('https://etcd.example.org:2379', secure.endpoint)
  const cwd = fileURLToPath(new URL('../..', import.meta.url))
  const { stdout } = await promisify(execFile)(process.execPath, ['--input-type=module', '-e', module], {
    cwd,
  })
  expect(stdout).toBe('registered\n')
})
