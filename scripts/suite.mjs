import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { appendFileSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'

/** Aborted by the first SIGINT or SIGTERM, so that what runs is stopped and its folders are removed. */
const interrupted = new AbortController()

/** Calls `use` with a temporary folder that is removed after. */
export async function inTemporaryFolder(use) {
  const folder = mkdtempSync(join(tmpdir(), 'etcd-register-suite-'))
  try {
    return await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/**
 * Runs the part of the test suite that vitest's arguments select. Returns how many tests passed, failed and were
 * skipped, and the version of the Node that ran them. Throws if a test failed or none was executed.
 */
export function runSuite(selected, { node = process.execPath, env = {} } = {}) {
  return inTemporaryFolder(async folder => {
    const countsFile = join(folder, 'counts')
    const child = spawn(node, ['node_modules/vitest/vitest.mjs', 'run', ...selected], {
      cwd: dirname(import.meta.dirname),
      env: { ...process.env, ...env, TEST_COUNTS_FILE: countsFile },
      stdio: ['ignore', 'inherit', 'inherit'],
    })
    interrupted.signal.addEventListener('abort', () => child.kill())
    const [status] = await once(child, 'exit')
    if (interrupted.signal.aborted) throw new Error('interrupted')
    const counts = existsSync(countsFile) ? readFileSync(countsFile, 'utf8').trim() : undefined
    if (counts && process.env.TEST_COUNTS_FILE) appendFileSync(process.env.TEST_COUNTS_FILE, `${counts}\n`)
    if (!counts) throw new Error('it wrote no counts: is closing-line-reporter.mjs in vitest.config.ts?')
    const [passed, failed, skipped, version] = counts.split(' ')
    if (passed === '0' && failed === '0') throw new Error('no test was executed')
    if (status !== 0) throw new Error(`${passed} passed, ${failed} failed, ${skipped} skipped`)
    return { passed, failed, skipped, version }
  })
}

/**
 * Runs `test` for each name, one after another, and prints the line that it returns, or why it failed. One that fails
 * does not stop the others, but makes this process fail.
 */
export async function testEach(kind, names, test) {
  for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => interrupted.abort())
  for (const name of names) {
    try {
      console.log(`== ${await test(name)}`)
    } catch (error) {
      console.error(`== ${kind} ${name}: FAILED, ${error.message}`)
      process.exitCode = 1
    }
    if (interrupted.signal.aborted) return
  }
}
