// Makes what the jobs with rights of release.yml need, in a folder: with changesets the patch `versions.patch`, else the
// tarballs of all packages and `packages.json`, which lists them.
// usage: node scripts/build-release.mjs <folder>
import { execFileSync } from 'node:child_process'
import { appendFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { isPublished } from './published.mjs'

const [folder = 'release'] = process.argv.slice(2)
const run = (command, ...args) =>
  execFileSync(command, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'inherit'], maxBuffer: 64 << 20 })

mkdirSync(folder, { recursive: true })
const next = readdirSync('.changeset').some(name => name.endsWith('.md') && name !== 'README.md')
  ? versions()
  : tarballs()
console.log(`next: ${next}`)
if (process.env.GITHUB_OUTPUT) appendFileSync(process.env.GITHUB_OUTPUT, `next=${next}\n`)

function versions() {
  run('npm', 'run', 'release:version')
  run('git', 'add', '--all')
  writeFileSync(join(folder, 'versions.patch'), run('git', 'diff', '--cached', '--binary'))
  return 'versions'
}

function tarballs() {
  run('node', 'scripts/repository.mjs')
  const packages = readdirSync('packages')
    .map(name => JSON.parse(readFileSync(`packages/${name}/package.json`, 'utf8')))
    .filter(manifest => !manifest.private)
  if (packages.every(isPublished)) return 'nothing'
  run('npm', 'run', 'build')
  const workspaces = packages.map(({ name }) => `--workspace=${name}`)
  const options = ['--json', '--silent', '--ignore-scripts', '--pack-destination', folder]
  const packed = JSON.parse(run('npm', 'pack', ...options, ...workspaces))
  const list = packed.map(({ name, version, filename }) => ({ name, version, filename }))
  writeFileSync(join(folder, 'packages.json'), `${JSON.stringify(list, undefined, 2)}\n`)
  return 'tarballs'
}
