import { execFile } from 'node:child_process'
import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, expect, test, vi } from 'vitest'
import { freePort } from '../src/free-port.ts'
import { folderOf } from './process-files.ts'

let etcd: EtcdMember

beforeAll(async () => {
  etcd = await startEtcdBinary()
})

afterAll(() => etcd.stop())

const value = async (key: string) => (await etcd.etcdctl('get', '--print-value-only', key)).trim()

test('an etcd that has started answers at its endpoint', async () => {
  expect(etcd.endpoint).toBe(`http://127.0.0.1:${etcd.port}`)
  await etcd.etcdctl('put', 'greeting', 'hello')
  expect(await value('greeting')).toBe('hello')
})

test('a killed etcd is gone, and comes back on the same port with its data', async () => {
  await etcd.etcdctl('put', 'kept', 'yes')
  const { pid, endpoint } = etcd
  await etcd.kill()
  expect(etcd.pid).toBeUndefined()
  expect(() => process.kill(pid!, 0)).toThrow('ESRCH')
  await etcd.restart()
  expect(etcd.endpoint).toBe(endpoint)
  expect(etcd.pid).not.toBe(pid)
  expect(await value('kept')).toBe('yes')
})

test('a restart with wipe starts on an empty store at revision 1', async () => {
  await etcd.etcdctl('put', 'kept', 'yes')
  await etcd.restart({ wipe: true })
  expect(await value('kept')).toBe('')
  expect(await etcd.compact()).toBe(1n)
})

test('a frozen etcd does not answer until it is thawed', async () => {
  await etcd.freeze()
  const impatient = fetch(`${etcd.endpoint}/metrics`, { signal: AbortSignal.timeout(50) })
  await expect(impatient).rejects.toThrow('timeout')
  const patient = etcd.metrics()
  etcd.thaw()
  expect((await patient).get('etcd_server_is_leader')).toBe(1)
})

test('a frozen etcd can be restarted', async () => {
  await etcd.freeze()
  await etcd.restart()
  expect(await value('none')).toBe('')
})

test('compaction makes older revisions unreadable and may be repeated', async () => {
  for (const text of ['1', '2', '3']) await etcd.etcdctl('put', 'count', text)
  const revision = await etcd.compact()
  expect(await etcd.compact(revision)).toBe(revision)
  await expect(etcd.etcdctl('get', 'count', `--rev=${revision - 1n}`)).rejects.toThrow('compacted')
  expect(await value('count')).toBe('3')
})

test('metrics count the streams that are open', async () => {
  expect(await etcd.openStreams('Watch')).toBe(0)
  const watch = new AbortController()
  const request = fetch(`${etcd.endpoint}/v3/watch`, {
    method: 'POST',
    body: JSON.stringify({ create_request: { key: Buffer.from('a').toString('base64') } }),
    signal: watch.signal,
  })
  await request
  expect(await etcd.openStreams('Watch')).toBe(1)
  watch.abort()
  await expect.poll(() => etcd.openStreams('Watch')).toBe(0)
})

test('log lines go to the logger when one is given', async () => {
  const debug = vi.fn()
  await using logged = await startEtcdBinary({ logger: { debug } })
  expect(debug).toHaveBeenCalledWith({ etcd: logged.endpoint }, expect.stringContaining('"level":"info"'))
})

test('extra arguments and the quota reach etcd', async () => {
  await using small = await startEtcdBinary({ quotaBytes: 1_000_000, args: ['--max-txn-ops', '5'] })
  expect((await small.metrics()).get('etcd_server_quota_backend_bytes')).toBe(1_000_000)
})

test('a fixed port is used, and one that is taken is an error with the reason', async () => {
  const port = await freePort()
  const server = createServer()
  await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
  await expect(startEtcdBinary({ port })).rejects.toThrow('address already in use')
  await new Promise(resolve => server.close(resolve))
  await using fixed = await startEtcdBinary({ port })
  expect(fixed.endpoint).toBe(`http://127.0.0.1:${port}`)
})

test('another etcd on the wanted port is never taken for ours', async () => {
  await expect(startEtcdBinary({ port: etcd.port })).rejects.toThrow('address already in use')
})

test('a flag etcd does not know fails the start with what etcd said', async () => {
  await expect(startEtcdBinary({ args: ['--no-such-flag'] })).rejects.toThrow('no-such-flag')
})

test('a missing binary is an error that says how to get one', async () => {
  await expect(startEtcdBinary({ bin: '/nowhere/etcd' })).rejects.toThrow(
    /\/nowhere\/etcd is not an executable file.*apt-get install etcd-server.*ETCD_BIN/,
  )
  vi.stubEnv('PATH', '/nowhere')
  vi.stubEnv('ETCD_BIN', '')
  await expect(startEtcdBinary()).rejects.toThrow('No etcd binary on PATH')
  vi.unstubAllEnvs()
})

test('an etcd that Node forbids to look for is told as that', async () => {
  const flags = process.allowedNodeEnvironmentFlags
  const permission = ['--permission', '--experimental-permission'].find(flag => flags.has(flag))!
  const index = new URL('../dist/index.mjs', import.meta.url)
  const root = fileURLToPath(new URL('../../..', import.meta.url))
  const start = async (option: string) => {
    const script = `(await import('${index}')).startEtcdBinary(${option}).catch(error => console.log(error.message))`
    const args = [
      permission,
      '--no-warnings',
      `--allow-fs-read=${root}*`,
      '--input-type=module',
      '-e',
      script,
    ]
    const env = { PATH: '/nowhere/bin:/elsewhere/bin' }
    return (await promisify(execFile)(process.execPath, args, { env })).stdout
  }
  expect(await start('')).toMatch(
    /^\/nowhere\/bin\/etcd, \/elsewhere\/bin\/etcd could not be read: ERR_ACCESS_DENIED\. Install one .*ETCD_BIN/,
  )
  expect(await start(`{ bin: '/nowhere/etcd' }`)).toMatch(
    /^\/nowhere\/etcd could not be read: ERR_ACCESS_DENIED\./,
  )
})

test('variables meant for etcd or for our users do not reach the started etcd', async () => {
  vi.stubEnv('ETCD_LISTEN_CLIENT_URLS', 'http://127.0.0.1:1')
  vi.stubEnv('ETCDCTL_ENDPOINTS', 'http://127.0.0.1:1')
  await using shielded = await startEtcdBinary()
  expect(await shielded.etcdctl('put', 'a', 'b')).toContain('OK')
  vi.unstubAllEnvs()
})

test('stop leaves no process and no folder, and can be called again', async () => {
  const member = await startEtcdBinary()
  const { pid } = member
  const folder = folderOf(pid!)
  expect(existsSync(folder)).toBe(true)
  await member.freeze()
  await member.stop()
  await member.stop()
  expect(() => process.kill(pid!, 0)).toThrow('ESRCH')
  expect(existsSync(folder)).toBe(false)
  await expect(member.restart()).rejects.toThrow('stopped')
})
