import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { anEtcd, type Cleanup } from './support/write-side.ts'

const run = promisify(execFile)
const dist = fileURLToPath(new URL('../dist', import.meta.url))
const etcd3 = createRequire(import.meta.url).resolve('etcd3')

const CREATE = {
  mjs: `import { createRegistry } from './dist/index.mjs'`,
  cjs: `const { createRegistry } = require('./dist/index.cjs')`,
}

/** A folder with this package and a package etcd3 of one file. */
function install(test: Cleanup, client: string | undefined): string {
  const folder = mkdtempSync(join(tmpdir(), 'client-'))
  test.onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  cpSync(dist, join(folder, 'dist'), { recursive: true })
  if (client === undefined) return folder
  mkdirSync(join(folder, 'node_modules/etcd3'), { recursive: true })
  writeFileSync(join(folder, 'node_modules/etcd3/index.js'), client)
  return folder
}

/** Registers and discovers; prints what can be seen of it, also after `then` has run. */
const app = (create: string, hosts = 'http://127.0.0.1:2379', then = '') => `
${create}
const seen = { warnings: [], infos: [], ready: [] }
const logger = { debug() {}, info: (_, text) => seen.infos.push(text), warn: (_, text) => seen.warnings.push(text), error() {} }
async function main() {
  const registry = createRegistry({ hosts: '${hosts}', logger })
  const parts = [registry.register({ name: 'orders', host: '192.0.2.1', port: 8000 }), registry.discover('orders')]
  for (const part of parts) {
    const error = await part.ready().catch(error => error)
    seen.ready.push([error?.code, error?.retryable])
  }
  const connection = () => registry.status().etcd.connection
  seen.connections = [connection()];
  ${then}
  await registry.close()
  console.log(JSON.stringify(seen))
}
main()
`

describe.concurrent('a client library that cannot be loaded', () => {
  test.for([
    ['throws', 'mjs', 'throw new Error("__dirname is not defined")', '__dirname is not defined'],
    ['throws', 'cjs', 'throw new Error("__dirname is not defined")', '__dirname is not defined'],
    ['is not installed', 'mjs', undefined, "Cannot find package 'etcd3'"],
  ] as const)(
    'as it %s is one warning with the way out, connection down, and ready() rejects (%s)',
    async ([, kind, client, reason], t) => {
      const folder = install(t, client)
      writeFileSync(join(folder, `app.${kind}`), app(CREATE[kind]))
      const { stdout, stderr } = await run(process.execPath, [join(folder, `app.${kind}`)])
      expect(stderr).toBe('')
      expect(JSON.parse(stdout)).toEqual({
        warnings: [
          expect.stringMatching(/^The package etcd3 cannot be loaded \(.*external\)\. Retrying\.$/s),
        ],
        infos: [expect.stringContaining('closed')],
        ready: Array(2).fill(['ERR_ETCD_CLIENT', false]),
        connections: ['down'],
      })
      expect(stdout).toContain(reason)
    },
  )

  test.for(['mjs', 'cjs'] as const)('is tried again, and used once it can be (%s)', async (kind, t) => {
    const etcd = await anEtcd(t)
    const folder = install(t, 'throw new Error("not yet")')
    const file = JSON.stringify(join(folder, 'node_modules/etcd3/index.js'))
    const repaired = JSON.stringify(`module.exports = require(${JSON.stringify(etcd3)})`)
    const then = `
      (await import('node:fs')).writeFileSync(${file}, ${repaired})
      while (parts[0].state !== 'registered' || parts[1].stale) await new Promise(resolve => setTimeout(resolve, 20))
      seen.connections.push(connection())`
    writeFileSync(join(folder, `app.${kind}`), app(CREATE[kind], etcd.endpoint, then))
    const { stdout } = await run(process.execPath, [join(folder, `app.${kind}`)])
    const { warnings, connections } = JSON.parse(stdout)
    expect(warnings).toEqual([
      expect.stringContaining('Retrying.'),
      expect.stringContaining('answers again'),
      'registered: orders 192.0.2.1:8000',
    ])
    expect(connections).toEqual(['down', 'up'])
  })
})

/** A folder with this package and etcd3, whose dependencies say that they are of that version. */
function installWithGrpc(test: Cleanup, version: string): string {
  const folder = install(test, undefined)
  const require = createRequire(etcd3)
  const { dependencies } = require('etcd3/package.json')
  cpSync(dirname(require.resolve('etcd3/package.json')), join(folder, 'node_modules/etcd3'), {
    recursive: true,
  })
  for (const name of Object.keys(dependencies)) {
    const target = join(folder, 'node_modules', name)
    mkdirSync(target, { recursive: true })
    writeFileSync(join(target, 'package.json'), JSON.stringify({ name, version }))
    writeFileSync(
      join(target, 'index.js'),
      `module.exports = require(${JSON.stringify(require.resolve(name))})`,
    )
  }
  return folder
}

describe.concurrent('the gRPC that etcd3 uses', () => {
  test.for([
    ['1.8.22', 'mjs'],
    ['1.12.6', 'cjs'],
    ['1.13.0', 'mjs'],
    ['1.14.7', 'cjs'],
    ['2.0.0', 'mjs'],
  ] as const)('is named in one warning if it is older than 1.13: %s (%s)', async ([version, kind], t) => {
    const etcd = await anEtcd(t)
    const folder = installWithGrpc(t, version)
    const again = `for (let i = 0; i < 2; i += 1) {
      const other = createRegistry({ hosts: '${etcd.endpoint}', logger })
      await other.discover('orders').ready()
      await other.close()
    }`
    writeFileSync(join(folder, `app.${kind}`), app(CREATE[kind], etcd.endpoint, again))
    const { stdout } = await run(process.execPath, [join(folder, `app.${kind}`)])
    const old = /^etcd3 uses @grpc\/grpc-js (\S+): .*Update it to 1\.13 or newer\.$/
    const { warnings } = JSON.parse(stdout) as { warnings: string[] }
    const named = warnings.flatMap(line => old.exec(line)?.[1] ?? [])
    expect(named).toEqual(Number(version.split('.')[1]) < 13 && version.startsWith('1') ? [version] : [])
  })
})

test.for(['loading', 'connecting'])(
  'a process without file descriptors while %s is one warning, and one line when it has some and is registered',
  async (when, t) => {
    const etcd = await anEtcd(t)
    const fixture = fileURLToPath(new URL('./fixtures/no-descriptors.mjs', import.meta.url))
    const limited = 'ulimit -n 60; exec "$@"'
    const args = ['-c', limited, 'sh', process.execPath, fixture, etcd.endpoint, when]
    // Node reads these certificates when it needs them first, which is then, and warns that it cannot.
    const env = { ...process.env, NODE_EXTRA_CA_CERTS: undefined }
    const { stdout, stderr } = await run('sh', args, { env })
    expect(stderr).toBe('')
    expect(stdout.trim().split('\n')).toEqual([
      'started',
      expect.stringMatching(/^warning .*EMFILE.*ulimit -n\)\. Retrying\.$/),
      'down ERR_ETCD_UNAVAILABLE',
      expect.stringMatching(/^warning etcd at .* answers again$/),
      'warning registered: orders 192.0.2.1:8000',
      'ready',
      'up',
    ])
  },
)
