import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, get } from 'node:http'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { fileURLToPath } from 'node:url'
import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, describe, expect, type TestContext, test } from 'vitest'
import { asModule, examplesIn } from '../../../../fixtures/readme-examples.ts'
import { rows } from '../support/etcdctl-table.ts'
import { listen } from '../support/server-side.ts'
import { until } from '../support/until.ts'

const root = fileURLToPath(new URL('../../../..', import.meta.url))
const page = readFileSync(join(root, 'packages/core/docs/exit-codes.md'), 'utf8')

let etcd: EtcdMember

beforeAll(async () => {
  etcd = await startEtcdBinary()
})

afterAll(() => etcd?.stop())

/** Runs the example of the page that has `mark` in it, changed as the test needs it, and then `more` beside it. */
function run(t: TestContext, mark: string, change: (code: string) => string, more?: string, port = 0) {
  const folder = mkdtempSync(join(tmpdir(), 'trap-'))
  t.onTestFinished(() => rmSync(folder, { recursive: true }))
  symlinkSync(join(root, 'node_modules'), join(folder, 'node_modules'))
  const { code } = examplesIn(page, 'packages/core/docs/exit-codes.md').find(example =>
    example.code.includes(mark),
  )!
  writeFileSync(join(folder, 'example.mjs'), asModule(change(code)))
  if (more !== undefined) writeFileSync(join(folder, 'more.mjs'), more)
  const child = spawn(process.execPath, [join(folder, more === undefined ? 'example.mjs' : 'more.mjs')], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, ETCD_ENDPOINTS: etcd.endpoint, PORT: String(port), SERVICE_HOST: '127.0.0.1' },
  })
  t.onTestFinished(async () => {
    child.kill('SIGKILL')
    if (child.exitCode === null && child.signalCode === null) await once(child, 'close')
  })
  return child
}

const ports = async (name: string) =>
  (await rows(etcd, `/services/${name}/`)).map(({ key }) => Number(key.split(':').at(-1)))

async function registeredPort(name: string): Promise<number> {
  await until(async () => (await ports(name)).length === 1, { within: 45_000 })
  return (await ports(name))[0]!
}

async function hello(port: number): Promise<string> {
  const [response] = await once(get({ port, host: '127.0.0.1', agent: false }), 'response')
  return text(response)
}

const ended = (child: ChildProcess) => once(child, 'exit').then(([code, signal]) => signal ?? code)

describe.concurrent('the traps of docs/exit-codes.md, with what mends them', () => {
  test.for(['http-terminator', 'http-graceful-shutdown'])(
    '%s: new connections are answered while the app drains',
    async (guest, t) => {
      const child = run(t, `from '${guest}'`, code =>
        code.replace("name: 'orders'", `name: '${guest}', drainDelay: 5000`),
      )
      const port = await registeredPort(guest)
      const over = ended(child)
      child.kill('SIGTERM')
      await until(async () => (await ports(guest)).length === 0)
      for (let requests = 0; requests < 5; requests += 1) expect(await hello(port)).toBe('hello')
      expect(await over).toBe(0)
    },
  )

  test('a server in a worker thread leaves on SIGTERM', async t => {
    const child = run(t, 'isMainThread', code => code.replace("'orders'", "'threaded', ttl: 60"))
    await registeredPort('threaded')
    const over = ended(child)
    child.kill('SIGTERM')
    expect(await over).toBe(0)
    expect(await ports('threaded')).toEqual([])
  })

  test('hot reload listens again on the same port', async t => {
    const free = createServer()
    const port = await listen(free)
    free.close()
    await once(free, 'close')
    const reload = `for (const n of [1, 2, 3]) await import('./example.mjs?' + n)\nconsole.log('reloaded')`
    const child = run(t, 'closeOrders', code => code.replace("'orders'", "'reloaded'"), reload, port)
    await once(child.stdout!, 'data')
    expect(await registeredPort('reloaded')).toBe(port)
    expect(await hello(port)).toBe('hello')
    const over = ended(child)
    child.kill('SIGTERM')
    expect(await over).toBe('SIGTERM')
    expect(await ports('reloaded')).toEqual([])
  })
})
