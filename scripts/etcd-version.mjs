// What scripts/etcd-version runs.
import { etcdBinary, etcdVersions } from './etcd-binary.mjs'

const versions = process.argv.slice(2)
if (versions.length === 0) {
  console.error(`usage: scripts/etcd-version ${etcdVersions.join('|')} ...`)
  process.exit(2)
}
try {
  for (const version of versions) console.log(etcdBinary(version))
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
