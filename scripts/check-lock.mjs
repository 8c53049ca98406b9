// Fails when package-lock.json would break `npm ci` on another machine:
// - npm leaves an optional platform package out of the lock when the registry does not offer it (yet), or when it
//   was not installed on the machine that wrote the lock; `npm install` hides that, `npm ci` elsewhere stops;
// - a `resolved` URL ties everybody to the registry of the one who wrote the lock.
import { readFileSync } from 'node:fs'

const file = process.argv[2] ?? 'package-lock.json'
const { packages } = JSON.parse(readFileSync(file, 'utf8'))
const problems = []

/** The lock entry that `name` resolves to from the package at `path`, by Node's own rule: nearest node_modules first. */
function resolve(path, name) {
  for (let folder = path; ; folder = folder.slice(0, Math.max(folder.lastIndexOf('/node_modules/'), 0))) {
    const candidate = packages[`${folder}${folder && '/'}node_modules/${name}`]
    if (candidate || folder === '') return candidate
  }
}

for (const [path, entry] of Object.entries(packages)) {
  for (const [name, wanted] of Object.entries(entry.optionalDependencies ?? {})) {
    const found = resolve(path, name)
    // Only an exact version can be compared without a semver library, and platform packages are pinned exactly.
    const pinned = /^\d+\.\d+\.\d+(-[\w.-]+)?$/.test(wanted)
    if (!found) problems.push(`${path || 'the root'}: optional ${name}@${wanted} has no entry`)
    else if (pinned && found.version !== wanted) {
      problems.push(`${path || 'the root'}: optional ${name}@${wanted} has no entry, only ${found.version}`)
    }
  }
  const fromRegistry = path.includes('node_modules/') && !entry.link && !entry.inBundle
  if (fromRegistry && !entry.integrity) problems.push(`${path}: no integrity`)
  if (entry.resolved?.includes('://')) problems.push(`${path}: resolved names a host: ${entry.resolved}`)
}

if (problems.length > 0) {
  console.error(`${file} is not complete:`)
  for (const problem of problems) console.error(`- ${problem}`)
  console.error(
    'Repair: npm install --package-lock-only --ignore-scripts (for a wrong entry, delete it from the lock first).',
  )
  console.error(
    'Still missing after that? The registry lacks it: pin an older version of the package that wants it.',
  )
  process.exit(1)
}
console.log(`${file}: ${Object.keys(packages).length} entries, complete`)
