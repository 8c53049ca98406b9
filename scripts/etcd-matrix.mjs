// Runs the tests that talk to etcd on each supported version of it, one after another: `npm run etcd-matrix`, or
// `npm run etcd-matrix 3.5 3.7`. Those of servers, of formats and of the packages above core are left out: what they say to
// etcd is what a registration and a discovery say. The embedded etcd is compared with each of them. With `-- --whole` all of
// core, and packages/testing.
import { existsSync, symlinkSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { parseArgs } from 'node:util'
import { etcdBinary, etcdVersions, versionOf } from './etcd-binary.mjs'
import { inTemporaryFolder, runSuite, testEach } from './suite.mjs'

const { values, positionals } = parseArgs({
  options: { whole: { type: 'boolean' } },
  allowPositionals: true,
})
const aboutEtcd = ['connection', 'discovery', 'networks', 'registration', 'security', 'client', 'every-code']
const selected = values.whole
  ? ['--project=core', '--project=testing']
  : [
      ...['--project=core', '--project=testing', 'packages/testing/test/conformance'],
      ...aboutEtcd.map(name => `packages/core/test/${name}`),
    ]

/**
 * Puts into the folder an `etcd` that notes that it was started and becomes the given one, so that a run on another
 * etcd, or on none, does not count as one on this. The tools of the given one are beside it.
 */
function notingStarts(etcd, folder) {
  const starts = join(folder, 'starts')
  const path = join(folder, 'etcd')
  writeFileSync(path, `#!/bin/sh\necho >>'${starts}'\nexec '${etcd}' "$@"\n`, { mode: 0o755 })
  for (const tool of ['etcdctl', 'etcdutl'].filter(tool => existsSync(join(dirname(etcd), tool)))) {
    symlinkSync(join(dirname(etcd), tool), join(folder, tool))
  }
  return { path, started: () => existsSync(starts) }
}

function testVersion(version) {
  const etcd = etcdBinary(version)
  return inTemporaryFolder(async folder => {
    const noting = notingStarts(etcd, folder)
    const began = performance.now()
    const { passed, failed, skipped } = await runSuite(selected, { env: { ETCD_BIN: noting.path } })
    const seconds = Math.round((performance.now() - began) / 1000)
    if (!noting.started()) throw new Error(`no test started ${etcd}`)
    return `etcd ${versionOf(etcd)}: ${passed} passed, ${failed} failed, ${skipped} skipped in ${seconds} s`
  })
}

const versions = positionals.length > 0 ? positionals : etcdVersions
await testEach('etcd', versions, testVersion)
