// Runs the test suite on other versions of Node: `node scripts/node-matrix.mjs`, or `node scripts/node-matrix.mjs 26`. With
// `--whole` all of it, else the part that CI has time for.
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { assertVersion, nodeEnvironment, nodeFolder } from './node-binary.mjs'
import { runSuite, testEach } from './suite.mjs'

// The machine's Node runs everything; here is what differs from Node to Node, as far as ten minutes for all of CI go:
// servers, processes and TLS on each major, and all that talks to etcd on the newest. 22.2 is the last version that does
// not tell of servers that listen. Of each: projects, and where their tests are if not everywhere.
const parts = {
  22: { of: ['express', 'koa'] },
  24: { of: ['core', 'nest12'], in: [...inCore('server', 'security'), ...inNest()] },
  '22.2.0': {
    of: ['express'],
    in: ['packages/express/test/etcd-register', 'packages/express/test/contract'],
  },
  26: {
    of: ['core', 'express'],
    in: [...inCore('registration', 'discovery', 'server', 'security'), 'packages/express'],
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

const tried = ['26'] // too new to be on every registry and to run on every machine

/** What CI has time for on that version, as arguments of vitest; everything where nothing is said. */
function partFor(version) {
  const { of, in: folders = [] } = parts[version] ?? { of: [] }
  return [...of.map(project => `--project=${project}`), ...folders]
}

/** Tests one version. Returns the line to report, throws if the suite did not pass on that very one. */
async function testVersion(version) {
  let bin
  try {
    bin = nodeFolder(version)
  } catch (error) {
    if (!tried.includes(version)) throw error
    return `Node ${version}: NOT TESTED, ${error.message}`
  }
  const suite = await runSuite(whole ? [] : partFor(version), {
    node: join(bin, 'node'),
    env: { ...nodeEnvironment(bin), EXITS: '1' },
  })
  assertVersion(suite.version, version)
  return `Node ${suite.version}: ${suite.passed} passed, ${suite.failed} failed, ${suite.skipped} skipped`
}

// Not by the Node under test: the tools of the build need not run on each that the packages run on.
execFileSync(join(import.meta.dirname, 'build-quietly'), { stdio: ['ignore', 'inherit', 'inherit'] })
const { values, positionals } = parseArgs({ options: { whole: { type: 'boolean' } }, allowPositionals: true })
const { whole = false } = values
await testEach('Node', positionals.length > 0 ? positionals : Object.keys(parts), testVersion)
