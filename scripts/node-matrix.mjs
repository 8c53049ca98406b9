// Runs parts of the test suite on other versions of Node than the one that CI runs everything on:
// `node scripts/node-matrix.mjs`, or `node scripts/node-matrix.mjs 26`. With `--whole` all of the suite.
import { execFileSync } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { assertVersion, nodeEnvironment, nodeFolder } from './node-binary.mjs'
import { runSuite, testEach } from './suite.mjs'

/** What CI has time for on each version, as arguments of vitest, and what is in the environment there. */
const parts = {
  // The oldest that is supported: a project installs the packages, and its apps register, discover and leave.
  20.19: {
    of: ['--config=fixtures/packaging/vitest.config.ts', 'consumers'],
    env: { GENERATIONS: 'middle' },
  },
  // Servers and processes differ from Node to Node, and so do the ways to end.
  22: {
    of: [...projects('core', 'express', 'koa'), ...inCore('server'), 'packages/express', 'packages/koa'],
  },
  // The last version that does not tell of servers that listen.
  '22.2.0': {
    of: [...projects('express'), 'packages/express/test/etcd-register', 'packages/express/test/contract'],
  },
  // The newest: nothing may use what Node is about to take away.
  26: {
    of: [
      ...projects('core', 'express', 'koa', 'nest12', 'testing'),
      ...inCore('registration', 'server', 'security'),
      // Without its conformance, in which Node has no part.
      ...['express', 'koa', 'nestjs', 'testing'].flatMap(withoutExits),
    ],
    env: { NODE_OPTIONS: '--throw-deprecation' },
  },
}

function projects(...names) {
  return names.map(name => `--project=${name}`)
}

function inCore(...folders) {
  return folders.map(folder => `packages/core/test/${folder}/`)
}

/** But for folders, and for how an app ends: that takes a minute a framework, and signals are among core's tests. */
function withoutExits(name) {
  const files = readdirSync(new URL(`../packages/${name}/test`, import.meta.url))
  const tests = files.filter(file => file.endsWith('.test.ts') && file !== 'exit.test.ts')
  return tests.map(file => `packages/${name}/test/${file}`)
}

const tried = ['26'] // too new to be on every registry and to run on every machine

/** Tests one version. Returns the line to report, throws if the suite did not pass on that very one. */
async function testVersion(version) {
  let bin
  try {
    bin = nodeFolder(version)
  } catch (error) {
    if (!tried.includes(version)) throw error
    return `Node ${version}: NOT TESTED, ${error.message}`
  }
  const { of = [], env = {} } = parts[version] ?? {}
  const began = performance.now()
  const suite = await runSuite(whole ? [] : of, {
    node: join(bin, 'node'),
    env: { ...nodeEnvironment(bin), EXITS: '1', ...env },
  })
  const seconds = Math.round((performance.now() - began) / 1000)
  assertVersion(suite.version, version)
  const { passed, failed, skipped } = suite
  return `Node ${suite.version}: ${passed} passed, ${failed} failed, ${skipped} skipped in ${seconds} s`
}

// Not by the Node under test: the tools of the build need not run on each that the packages run on.
execFileSync(join(import.meta.dirname, 'build-quietly'), { stdio: ['ignore', 'inherit', 'inherit'] })
const { values, positionals } = parseArgs({ options: { whole: { type: 'boolean' } }, allowPositionals: true })
const { whole = false } = values
await testEach('Node', positionals.length > 0 ? positionals : Object.keys(parts), testVersion)
