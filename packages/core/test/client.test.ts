import { execFile } from 'node:child_process'
import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, onTestFinished, test } from 'vitest'

const dist = fileURLToPath(new URL('../dist', import.meta.url))

const app = `
import { createRegistry } from './dist/index.mjs'
const registry = createRegistry({ logger: false })
const { code, message, retryable } = await registry.discover('orders').ready().catch(error => error)
console.log(JSON.stringify({ code, message, retryable }))
await registry.close()
`

test('a client library that cannot be loaded is not taken for an etcd that is away', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'no-client-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  cpSync(dist, join(folder, 'dist'), { recursive: true })
  mkdirSync(join(folder, 'node_modules/etcd3'), { recursive: true })
  writeFileSync(join(folder, 'node_modules/etcd3/index.js'), 'throw new Error("__dirname is not defined")')
  writeFileSync(join(folder, 'app.mjs'), app)
  const { stdout } = await promisify(execFile)(process.execPath, [join(folder, 'app.mjs')])
  expect(JSON.parse(stdout)).toEqual({
    code: 'ERR_ETCD_CLIENT',
    message: expect.stringMatching(
      /^The package etcd3 cannot be loaded \(__dirname is not defined\)\. .*external/,
    ),
    retryable: false,
  })
})
