import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { install } from 'adapter-contract'
import { expect, onTestFinished, test } from 'vitest'
import { project } from './support/installed.ts'

test('nothing of ours keeps the process of an app alive that failed to start', async () => {
  const app = new URL('./fixtures/broken.mjs', import.meta.url)
  const { folder, remove } = install({ ...project(), app, name: 'broken' })
  onTestFinished(remove)
  const { stdout } = await promisify(execFile)(process.execPath, [join(folder, 'app.mjs')], {
    cwd: folder,
    timeout: 60_000,
  })
  expect(stdout).toBe('no database')
})
