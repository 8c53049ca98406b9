// Binaries of the etcd versions that the packages support.
import { execFileSync, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { builtModule } from './go-module.mjs'

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
  const [, patch] = /go\.etcd\.io\/etcd\/server\/v3 v(\S+)/.exec(readFileSync(join(source, 'go.mod'), 'utf8'))
  const tools = ['etcdctl', 'etcdutl'].map(tool => `go.etcd.io/etcd/${tool}/v3`)
  const folder = builtModule({
    source,
    name: `etcd/${patch}`,
    packages: ['.', ...tools],
    advice: `
  own binary       etcd ${version} from https://github.com/etcd-io/etcd/releases; ETCD_BIN=/path/to/etcd npm test runs on it`,
  })
  return assertVersion(join(folder, 'etcd'), version)
}
