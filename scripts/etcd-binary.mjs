// Binaries of the etcd versions that the packages support.
import { execFileSync, spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { cachedFolder } from './cache.mjs'

const modules = join(import.meta.dirname, '../fixtures/etcd-versions')

/** The version that Debian has. It is installed, all others are built. */
const installed = '3.4'

/** Oldest first, such as `3.6`. */
export const etcdVersions = [installed, ...readdirSync(modules).sort()]

/**
 * The path of an etcd of that version, with etcdctl and etcdutl in the same folder where etcd has them. It is built or
 * installed if need be. Throws an error that says what to do where that is not possible.
 */
export function etcdBinary(version) {
  if (!etcdVersions.includes(version)) {
    throw new Error(`There is no etcd ${version} here. The versions are ${etcdVersions.join(', ')}.`)
  }
  return version === installed ? installedBinary() : builtBinary(version)
}

/** The full version of a binary, such as `3.6.16`. */
export function versionOf(etcd) {
  const output = execFileSync(etcd, ['--version'], { encoding: 'utf8' })
  return /^etcd Version: (\S+)/.exec(output)?.[1] ?? 'unknown'
}

function installedBinary() {
  const env = { ...process.env, ETCD_BIN: '' }
  const { status } = spawnSync(join(import.meta.dirname, 'ensure-etcd'), { env, stdio: ['ignore', 2, 2] })
  if (status !== 0) throw new Error(`etcd ${installed} is not available.`)
  const path = execFileSync('/bin/sh', ['-c', 'command -v etcd'], { encoding: 'utf8' }).trim()
  return assertVersion(path, installed)
}

function assertVersion(etcd, version) {
  const actual = versionOf(etcd)
  if (!actual.startsWith(`${version}.`)) throw new Error(`${etcd} is etcd ${actual}, not ${version}.`)
  return etcd
}

function builtBinary(version) {
  const source = join(modules, version)
  const sources = ['go.mod', 'go.sum', 'main.go'].map(file => readFileSync(join(source, file), 'utf8'))
  const hash = createHash('sha256').update([go(version, ['env', 'GOVERSION']), ...sources].join('\0'))
  const [, patch] = /go\.etcd\.io\/etcd\/server\/v3 v(\S+)/.exec(sources[0])
  const name = `etcd/${patch}-${hash.digest('hex').slice(0, 12)}`
  const folder = cachedFolder(name, folder => {
    console.error(`Building etcd ${patch}: about a minute for the first one, seconds where Go has its cache.`)
    const options = ['-mod=readonly', '-buildvcs=false', '-trimpath', '-ldflags', '-s -w', '-o', `${folder}/`]
    const tools = ['etcdctl', 'etcdutl'].map(tool => `go.etcd.io/etcd/${tool}/v3`)
    go(version, ['build', ...options, '.', ...tools])
    assertVersion(join(folder, 'etcd'), version)
  })
  return join(folder, 'etcd')
}

/** Runs Go in the module of that version and returns what it prints. */
function go(version, args) {
  const cwd = join(modules, version)
  const env = { ...process.env, CGO_ENABLED: '0', GOWORK: 'off' }
  const { error, status, stdout, stderr } = spawnSync('go', args, { cwd, env, encoding: 'utf8' })
  if (status === 0) return stdout.trim()
  const problem = error?.code === 'ENOENT' ? 'Go is not on the PATH.' : (error?.message ?? stderr.trim())
  const [, needed] = /^go (\S+)$/m.exec(readFileSync(join(cwd, 'go.mod'), 'utf8'))
  throw new Error(`${problem}
etcd ${version} could not be built. It needs Go ${needed} or newer, and the Go module proxy once. Any one of these helps:
  Linux            a release from https://go.dev/dl, unpacked, with its bin folder on the PATH
  macOS            brew install go
  Go 1.21 or newer export GOTOOLCHAIN=auto, which makes Go fetch the version that it needs
  own binary       etcd ${version} from https://github.com/etcd-io/etcd/releases; ETCD_BIN=/path/to/etcd npm test runs on it`)
}
