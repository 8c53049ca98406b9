#!/usr/bin/env node
// A long run of registrants and discoveries under random faults, against a real etcd and the built packages.
// usage: npm run soak -- [--minutes N] [--seed N]     default: 3 minutes, a random seed
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'
import { build } from 'tsdown'

const { values } = parseArgs({ options: { minutes: { type: 'string' }, seed: { type: 'string' } } })
const minutes = Number(values.minutes ?? 3)
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 32))
if (!(minutes > 0) || !Number.isSafeInteger(seed)) {
  console.error('usage: npm run soak -- [--minutes N] [--seed N]')
  process.exit(2)
}

// The scenario is TypeScript and stands next to the tests, whose oracle it shares.
const support = new URL('../packages/core/test/support/', import.meta.url)
const compiled = new URL('../node_modules/.cache/etcd-register-soak/', import.meta.url)
await build({
  entry: fileURLToPath(new URL('soak.ts', support)),
  outDir: fileURLToPath(compiled),
  skipNodeModulesBundle: true,
  config: false,
  tsconfig: false,
  dts: false,
  fixedExtension: true,
  logLevel: 'error',
})
const { soak } = await import(new URL('soak.mjs', compiled).href)

console.log(`== soak: ${minutes} minutes, seed ${seed}`)
try {
  await soak({ minutes, seed, say: line => console.log(line) })
  console.log(`== soak: passed, seed ${seed}`)
} catch (error) {
  console.error(
    `== soak: FAILED: ${error.message}\nRepeat it: npm run soak -- --minutes ${minutes} --seed ${seed}`,
  )
  process.exitCode = 1
}
