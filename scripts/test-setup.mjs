// Runs before any test, however vitest is called: an etcd is there, and what child processes run is built from the
// sources as they are.
import { execFileSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'

const cwd = fileURLToPath(new URL('..', import.meta.url))

export default function setup() {
  for (const script of ['scripts/ensure-etcd', 'scripts/build-quietly']) {
    execFileSync(script, { cwd, stdio: ['ignore', 'inherit', 'inherit'] })
  }
}
