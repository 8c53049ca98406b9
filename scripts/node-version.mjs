// What scripts/node-version runs.
import { nodeFolder } from './node-binary.mjs'

const [version] = process.argv.slice(2)
if (version === undefined) {
  console.error('usage: scripts/node-version <version>')
  process.exit(2)
}
try {
  console.log(nodeFolder(version))
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
}
