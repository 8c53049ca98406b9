import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { build } from 'tsdown'
import { afterAll, beforeAll, expect, test } from 'vitest'
import { folderOf, isAlive } from './process-files.ts'

const fixture = fileURLToPath(new URL('./fixtures/abandon.mjs', import.meta.url))

let built: string

// A plain node process cannot load TypeScript on every Node we support, so it gets the sources built on the spot,
// where it finds what they import.
beforeAll(async () => {
  built = mkdtempSync(fileURLToPath(new URL('../../../node_modules/.testing-built-', import.meta.url)))
  const entry = fileURLToPath(new URL('../src/index.ts', import.meta.url))
  const output = { format: 'esm', outDir: built, dts: false, clean: false } as const
  await build({ config: false, entry, platform: 'node', logLevel: 'silent', ...output })
})

afterAll(() => rmSync(built, { recursive: true }))

async function abandon(how: 'exit' | 'throw' | 'wait' | 'stop' | 'forget') {
  const library = pathToFileURL(join(built, 'index.mjs')).href
  const child = spawn(process.execPath, [fixture, library, how], {
    stdio: ['ignore', 'pipe', 'ignore'],
    detached: true, // a process group of its own, as a terminal gives it
  })
  const ended = once(child, 'exit')
  const [line] = await once(createInterface({ input: child.stdout! }), 'line')
  const pids = JSON.parse(line) as number[]
  return { child, ended, pids }
}

async function expectGone(pids: number[], folders: string[]) {
  await expect.poll(() => pids.filter(isAlive)).toEqual([])
  await expect.poll(() => folders.filter(existsSync)).toEqual([])
  await expect.poll(() => folders.map(folder => `${folder}.gone`).filter(existsSync)).toEqual([])
}

test.each<[string, (child: ChildProcess) => void]>([
  ['SIGKILL', child => child.kill('SIGKILL')],
  ['SIGTERM', child => child.kill('SIGTERM')],
  ['ctrl-C, which goes to the whole process group', child => process.kill(-child.pid!, 'SIGINT')],
])('nothing is left after %s of the test process, not even a frozen etcd', async (_, end) => {
  const { child, ended, pids } = await abandon('wait')
  const folders = pids.map(folderOf)
  expect(pids.filter(isAlive)).toHaveLength(3)
  end(child)
  await ended
  await expectGone(pids, folders)
})

test.each(['exit', 'throw'] as const)('nothing is left after the test process ends by %s', async how => {
  const { ended, pids } = await abandon(how)
  const [code] = await ended
  expect(code).toBe(how === 'exit' ? 0 : 1)
  await expectGone(pids, [])
})

test('a process that stopped everything ends by itself', async () => {
  const { ended, pids } = await abandon('stop')
  expect(await ended).toEqual([0, null])
  expect(pids.filter(isAlive)).toEqual([])
})

test('a process that forgot to stop ends by itself, and nothing is left', async () => {
  const { ended, pids } = await abandon('forget')
  expect(await ended).toEqual([0, null])
  await expectGone(pids, [])
})
