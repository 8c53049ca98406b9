// Each package has to say where its source is: npm publishes with provenance only what comes from there.
// usage: node scripts/repository.mjs               checks it; fails, and says what to do, where it is missing or wrong
//        node scripts/repository.mjs owner/name    writes it: repository, homepage and bugs
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'

const [wanted] = process.argv.slice(2)
// Set where GitHub runs it.
const actual = process.env.GITHUB_REPOSITORY

if (wanted !== undefined && !/^[\w.-]+\/[\w.-]+$/.test(wanted)) {
  console.error(`${wanted} is not owner/name, such as octocat/etcd-register`)
  process.exit(2)
}

/** What a package of the repository says. */
function fields(repository, folder) {
  const url = `https://github.com/${repository}`
  return {
    repository: { type: 'git', url: `git+${url}.git`, directory: folder },
    homepage: `${url}/tree/main/${folder}#readme`,
    bugs: `${url}/issues`,
  }
}

const problems = []
const found = new Set()
for (const folder of readdirSync('packages').map(name => `packages/${name}`)) {
  const path = `${folder}/package.json`
  const manifest = JSON.parse(readFileSync(path, 'utf8'))
  if (manifest.private) continue
  if (wanted) {
    const written = { ...manifest, ...fields(wanted, folder) }
    writeFileSync(path, `${JSON.stringify(written, undefined, 2)}\n`)
    continue
  }
  const [, said] = /^git\+https:\/\/github\.com\/([^/]+\/[^/]+)\.git$/.exec(manifest.repository?.url) ?? []
  if (said === undefined) problems.push(`${path}: no "repository"`)
  else if (JSON.stringify(manifest.repository) !== JSON.stringify(fields(said, folder).repository)) {
    problems.push(`${path}: "repository" is not as it should be`)
  } else found.add(said)
}

if (found.size > 1) problems.push(`the packages name several repositories: ${[...found].join(', ')}`)
for (const said of found) {
  if (actual && said !== actual) problems.push(`the packages name ${said}, this is ${actual}`)
}
if (problems.length > 0) {
  console.error('Nothing is published, because npm would refuse the provenance:')
  for (const problem of problems) console.error(`- ${problem}`)
  console.error(`Write it once, and commit it: node scripts/repository.mjs ${actual ?? '<owner>/<name>'}`)
  process.exit(1)
}
