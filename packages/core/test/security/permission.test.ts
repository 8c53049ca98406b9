import { execFile } from 'node:child_process'
import { copyFileSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { describe, expect, type TestContext, test } from 'vitest'

const fixture = fileURLToPath(new URL('../fixtures/forbidden.mjs', import.meta.url))
const dist = fileURLToPath(new URL('../../dist', import.meta.url))
const root = fileURLToPath(new URL('../../../..', import.meta.url))

const flags = process.allowedNodeEnvironmentFlags
/** What turns the permission model on in this version of Node, and what allows the network where that is restricted. */
const permission = ['--permission', '--experimental-permission'].find(flag => flags.has(flag))!
const restrictsNetwork = flags.has('--allow-net')
const network = restrictsNetwork ? ['--allow-net'] : []

/** A folder with the app alone. */
function aFolder(t: TestContext): string {
  const folder = realpathSync(mkdtempSync(join(tmpdir(), 'forbidden-')))
  t.onTestFinished(() => rmSync(folder, { recursive: true }))
  copyFileSync(fixture, join(folder, 'app.mjs'))
  return folder
}

/** The lines of the app, which may read these paths. */
async function lines(app: string, read: string[], options: string[], args: string[], env = {}) {
  const { NODE_OPTIONS, SERVICE_NAME, ...inherited } = process.env
  const allowed = read.map(path => `--allow-fs-read=${path}`)
  const run = ['--no-warnings', permission, ...allowed, ...options, app, join(dist, 'index.mjs'), ...args]
  const { stdout } = await promisify(execFile)(process.execPath, run, {
    cwd: dirname(app),
    timeout: 60_000, // so that nothing outlives a test that fails
    env: { ...inherited, ...env },
  })
  return stdout.trim().split('\n')
}

describe.concurrent("under Node's permission model", () => {
  test.runIf(restrictsNetwork).for(['http://127.0.0.1:1', 'http://localhost:1', 'srv+http://example.test'])(
    'without the network ready() rejects, and one warning says what to do: %s',
    async (hosts, t) => {
      const env = { SERVICE_NAME: 'orders' }
      const said = await lines(join(aFolder(t), 'app.mjs'), ['*'], [], [hosts], env)
      const text = /^No connection to etcd at \S+: .*ERR_ACCESS_DENIED.* Start it with --allow-net\.$/
      const rejection = new RegExp(`^ERR_ETCD_CLIENT false ${text.source.slice(1)}`)
      expect(said.map(line => line.replace(' Retrying.', ''))).toEqual([
        expect.stringMatching(new RegExp(`^warning ${text.source.slice(1)}`)),
        expect.stringMatching(rejection),
        expect.stringMatching(rejection),
      ])
    },
  )

  test('a package.json that may not be read is named', async t => {
    const folder = aFolder(t)
    const app = join(folder, 'app.mjs')
    const read = [app, join(root, '*')]
    expect(await lines(app, read, network, ['http://127.0.0.1:1'])).toEqual([
      expect.stringMatching(
        /^ERR_INVALID_OPTION .*"name" must be given.*; .* could not be read: ERR_ACCESS_DENIED\.$/,
      ),
    ])
    expect((await lines(app, read, network, ['http://127.0.0.1:1']))[0]).toContain(
      join(folder, 'package.json'),
    )
  })

  test('so is a certificate', async t => {
    const folder = aFolder(t)
    const ca = join(folder, 'ca.pem')
    writeFileSync(ca, '')
    const app = join(folder, 'app.mjs')
    expect(await lines(app, [app, join(root, '*')], network, ['https://127.0.0.1:1', ca])).toEqual([
      `ERR_INVALID_OPTION false Option "tls.ca" must be PEM text of a certificate, or the path of a readable PEM file with one, and this one could not be read: ERR_ACCESS_DENIED; got "${ca}".`,
    ])
  })

  test('a client library that may not be read is one warning with the way out', async t => {
    const app = join(aFolder(t), 'app.mjs')
    const env = { SERVICE_NAME: 'orders' }
    const said = await lines(app, [app, join(dist, '*')], network, ['http://127.0.0.1:1'], env)
    const text = expect.stringMatching(
      /The package etcd3 cannot be loaded .* allow that with --allow-fs-read\./,
    )
    expect(said).toEqual([text, text, text])
    expect(said[0]).toMatch(/^warning /)
  })
})
