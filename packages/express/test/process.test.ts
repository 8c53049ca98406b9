import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'
import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, expect, type TestContext, test } from 'vitest'

const fixture = fileURLToPath(new URL('./fixtures/app.mjs', import.meta.url))
const majors = [
  ['express4', '4.22.3'],
  ['express', '5.3.0'],
] as const
let etcd: EtcdMember

beforeAll(async () => {
  etcd = await startEtcdBinary()
})

afterAll(() => etcd?.stop())

/** The app in a process that knows where etcd is from its environment. */
async function anApp(t: TestContext, name: string, end: string, env: NodeJS.ProcessEnv = {}) {
  const child = spawn(process.execPath, [fixture, name, end], {
    stdio: ['pipe', 'pipe', 'inherit'],
    env: { ...process.env, ETCD_ENDPOINTS: etcd.endpoint, ...env },
  })
  t.onTestFinished(() => void child.kill('SIGKILL'))
  const ended = once(child, 'exit')
  const lines: string[] = []
  const reader = createInterface({ input: child.stdout }).on('line', line => lines.push(line))
  while (lines.length < 2) await Promise.race([once(reader, 'line'), ended.then(() => Promise.reject(lines))])
  const keys = async () => (await etcd.etcdctl('get', '--prefix', '--keys-only', '/services/')).trim()
  return { child, ended, lines, keys }
}

test.for(majors)('app.use(etcdRegister()) of %s %s is all that it takes', async ([name, version], t) => {
  const { child, ended, lines, keys } = await anApp(t, name, 'SIGTERM', { SERVICE_NAME: `by-${name}` })
  expect(lines).toEqual([
    version,
    expect.stringMatching(new RegExp(`^/services/by-${name}/127\\.0\\.0\\.1:\\d+$`)),
  ])
  expect(await keys()).toBe(lines[1])
  child.kill('SIGTERM')
  expect(await ended).toEqual([null, 'SIGTERM'])
  expect(await keys()).toBe('')
  expect(lines).toHaveLength(2)
})

test.for(majors)('nothing keeps the process of %s %s alive after server.close()', async ([name], t) => {
  const { child, ended, lines, keys } = await anApp(t, name, 'server.close')
  // Without SERVICE_NAME it is the package of the script.
  expect(lines[1]).toMatch(/^\/services\/express\/127\.0\.0\.1:\d+$/)
  child.stdin.end('now\n')
  expect(await ended).toEqual([0, null])
  expect(await keys()).toBe('')
  expect(lines).toHaveLength(2)
})
