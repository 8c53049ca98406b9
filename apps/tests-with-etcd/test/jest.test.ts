import { execFile } from 'node:child_process'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { expect, test } from 'vitest'

test('the example for Jest passes, and Jest ends by itself', async () => {
  const jest = join(dirname(createRequire(import.meta.url).resolve('jest/package.json')), 'bin/jest.js')
  const config = fileURLToPath(new URL('../jest/jest.config.cjs', import.meta.url))
  const { stderr } = await promisify(execFile)(process.execPath, [jest, '--config', config], {
    env: { ...process.env, FORCE_COLOR: '0' },
  })
  expect(stderr).toMatch(/Tests: +2 passed, 2 total/)
  expect(stderr).not.toContain('did not exit')
}, 120_000)
