// Programs in Go, built from modules of this repository into the cache outside of it.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { cachedFolder } from './cache.mjs'

/**
 * The folder with the programs of a module, which are built if need be: once for each state of its files, of the folders
 * `beside` it that it replaces modules with, and of Go. `packages`: what to build, by default the module itself, whose
 * program is called `as`. `main` is the text of its main.go where the folder has none. Throws an error that says what to do where that is not possible; `advice` adds to it.
 */
export function builtModule({ source, name, as = '', beside = [], packages = ['.'], main, advice = '' }) {
  const hash = createHash('sha256').update(go(source, ['env', 'GOVERSION'], { name, advice }))
  for (const folder of [source, ...beside]) for (const text of textsIn(folder)) hash.update('\0').update(text)
  if (main !== undefined) hash.update('\0').update(main)
  return cachedFolder(`${name}-${hash.digest('hex').slice(0, 12)}`, folder => {
    console.error(`Building ${name}: a minute or two, seconds where Go has its cache.`)
    const options = ['-mod=readonly', '-buildvcs=false', '-ldflags', '-s -w', '-o', join(folder, as || '/')]
    if (main !== undefined) {
      const [text, overlay] = [join(folder, 'main.go'), join(folder, 'overlay.json')]
      writeFileSync(text, main)
      writeFileSync(overlay, JSON.stringify({ Replace: { [join(source, 'main.go')]: text } }))
      options.push('-overlay', overlay)
    }
    go(source, ['build', ...options, ...packages], { name, advice })
  })
}

function textsIn(folder) {
  const files = readdirSync(folder, { recursive: true }).filter(path =>
    /\.go$|(^|\/)go\.(mod|sum)$/.test(path),
  )
  return files.sort().map(file => readFileSync(join(folder, file), 'utf8'))
}

/** Runs Go in a module and returns what it prints. */
function go(cwd, args, { name, advice }) {
  const env = { ...process.env, CGO_ENABLED: '0', GOWORK: 'off' }
  const { error, status, stdout, stderr } = spawnSync('go', args, { cwd, env, encoding: 'utf8' })
  if (status === 0) return stdout.trim()
  const problem = error?.code === 'ENOENT' ? 'Go is not on the PATH.' : (error?.message ?? stderr.trim())
  const [, needed] = /^go (\S+)$/m.exec(readFileSync(join(cwd, 'go.mod'), 'utf8'))
  throw new Error(`${problem}
${name} could not be built. It needs Go ${needed} or newer, and the Go module proxy once. Any one of these helps:
  Linux            a release from https://go.dev/dl, unpacked, with its bin folder on the PATH
  macOS            brew install go
  Go 1.21 or newer export GOTOOLCHAIN=auto, which makes Go fetch the version that it needs${advice}`)
}
