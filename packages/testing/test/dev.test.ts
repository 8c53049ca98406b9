import { type ChildProcess, execFile, spawn, spawnSync } from 'node:child_process'
import { once } from 'node:events'
import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { startEtcd } from '@etcd-register/testing'
import { expect, onTestFinished, test } from 'vitest'
import { etcdClient } from './support/etcd-client.ts'

const command = fileURLToPath(new URL('../bin/etcd-register-dev.mjs', import.meta.url))
const run = (...args: string[]) => promisify(execFile)(process.execPath, [command, ...args])

/** Started, and everything it has said by then. */
async function start(
  program: string,
  args: string[],
): Promise<{ child: ChildProcess; said: string; endpoint: string }> {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  onTestFinished(() => {
    child.kill('SIGKILL')
  })
  let said = ''
  child.stdout.on('data', chunk => {
    said += chunk
  })
  await expect.poll(() => said).toContain('Ctrl-C')
  return { child, said, endpoint: /http:\/\/\S+/.exec(said)![0] }
}

const serve = (...args: string[]) => start(process.execPath, [command, ...args])

test('the command serves etcd until it is ended, and says where, what it is, and what it is not', async () => {
  const { child, said, endpoint } = await serve('--port', '0')
  expect(said).toMatch(/^etcd for development at http:\/\/127\.0\.0\.1:\d+\n/)
  expect(said).toContain('everything in memory and gone at the end')
  expect(said).toContain('For production run an etcd cluster')
  expect(said).toContain(`ETCD_ENDPOINTS=${endpoint}`)
  expect(said).not.toContain('WARNING')
  const client = etcdClient(endpoint)
  await client.call('Put', { key: 'a', value: 'b' })
  client.close()
  child.kill('SIGINT')
  expect(await once(child, 'exit')).toEqual([0, null])
})

/** Linux has network namespaces; whether a user who is not root may make one is up to the machine. */
const inNamespace = ['--net', '--map-root-user']
const haveNamespaces = spawnSync('unshare', [...inNamespace, 'true']).status === 0

// In CI there is no way around them.
test.skipIf(!haveNamespaces && !process.env.CI).each([
  ['0.0.0.0', 'http://127.0.0.1:2379'],
  ['::', 'http://[::1]:2379'],
])('on %s it says an address that works, and warns', async (host, address) => {
  const script = 'ip link set lo up; exec "$0" "$@"'
  const args = [...inNamespace, 'sh', '-c', script, process.execPath, command, '--host', host]
  const { said, endpoint } = await start('unshare', args)
  expect(endpoint).toBe(address)
  expect(said).toContain(`ETCD_ENDPOINTS=${address}`)
  expect(said).toContain(`WARNING: it listens on ${host}, open to the network without a password`)
})

test('it ends at once though clients are connected', async () => {
  const { child, endpoint } = await serve('--port', '0', '--host', '127.0.0.1')
  const client = etcdClient(endpoint)
  const stream = client.stream('Watch')
  stream.send({ create_request: { key: 'a' } })
  await stream.next()
  child.kill('SIGTERM')
  expect(await once(child, 'exit')).toEqual([0, null])
  client.close()
})

test('a port that is taken is told with the way out', async () => {
  await using etcd = await startEtcd()
  await expect(run('--port', String(etcd.port))).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringContaining(`Port ${etcd.port} is taken`),
  })
})

test.each([[['--port', 'x']], [['--port', '70000']], [['--wrong']], [['more']], [['--host', '']]])(
  'arguments that are wrong (%s) are told with the usage',
  async args => {
    await expect(run(...args)).rejects.toMatchObject({ code: 2, stderr: expect.stringContaining('usage:') })
  },
)

test('it explains itself with --help', async () => {
  expect((await run('--help')).stdout).toContain('usage: etcd-register-dev')
})

/** A clone in which nothing is built yet, and what its build does; runs the command. */
function runUnbuilt(build: string) {
  const folder = mkdtempSync(join(tmpdir(), 'unbuilt-'))
  onTestFinished(() => rmSync(folder, { recursive: true }))
  cpSync(dirname(command), join(folder, 'bin'), { recursive: true })
  writeFileSync(join(folder, 'package.json'), JSON.stringify({ type: 'module', scripts: { build } }))
  return promisify(execFile)(process.execPath, [join(folder, 'bin/etcd-register-dev.mjs'), '--help'])
}

test('in a clone the command is built when it is called for the first time', async () => {
  const said = 'console.log(process.argv[2])'
  const { stdout, stderr } = await runUnbuilt(`mkdir dist && echo '${said}' > dist/dev.mjs && echo built`)
  expect({ stdout, stderr }).toEqual({ stdout: '--help\n', stderr: '' })
})

test('where it cannot be built, the command says why and what to do', async () => {
  await expect(runUnbuilt('echo no compiler >&2; exit 3')).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^no compiler\n.* has to be built first: npm ci && npm run build\n$/),
  })
})
