#!/usr/bin/env node
// Loads the built command. npm links a command when it installs, and only if its file is there: in a clone that is before
// the first build, so this file is no part of it. There it builds the command when it is called for the first time.
import { execFileSync } from 'node:child_process'
import { existsSync } from 'node:fs'
import { fileURLToPath } from 'node:url'

const command = new URL('../dist/dev.mjs', import.meta.url)
if (!existsSync(command)) build(fileURLToPath(new URL('..', import.meta.url)))
await import(command.href)

function build(folder) {
  try {
    execFileSync('npm', ['run', 'build', '--silent'], { cwd: folder, stdio: ['ignore', 'ignore', 'pipe'] })
  } catch (error) {
    process.stderr.write(
      `${String(error.stderr || error.message).trimEnd()}\n${folder} has to be built first: npm ci && npm run build\n`,
    )
    process.exit(1)
  }
}
