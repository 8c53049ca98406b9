// Publishes the tarballs that build-release.mjs made, but for those that npm has already: a job that failed halfway can be
// run again. Nothing of a package is run.
// usage: node scripts/publish-release.mjs <folder>
import { execFileSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { isPublished } from './published.mjs'

const [folder = 'release'] = process.argv.slice(2)
const packages = JSON.parse(readFileSync(join(folder, 'packages.json'), 'utf8'))

for (const { name, version, filename } of packages) {
  if (isPublished({ name, version })) {
    console.log(`${name}@${version} is published already`)
    continue
  }
  const options = ['--ignore-scripts', '--provenance', '--access', 'public']
  execFileSync('npm', ['publish', resolve(folder, filename), ...options], { stdio: 'inherit' })
}
