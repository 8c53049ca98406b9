import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig } from 'vitest/config'

const root = fileURLToPath(new URL('.', import.meta.url))

// Tests import the packages by their public names and get the source; what runs in child processes is built before.
const packages = readdirSync(`${root}packages`)
const alias = Object.fromEntries(
  packages.map(name => [
    JSON.parse(readFileSync(`${root}packages/${name}/package.json`, 'utf8')).name,
    `${root}packages/${name}/src/index.ts`,
  ]),
)

const projects = ['packages', 'apps']
  .flatMap(folder => readdirSync(`${root}${folder}`).map(name => ({ folder, name })))
  .filter(({ folder, name }) => existsSync(`${root}${folder}/${name}/test`))
  .map(({ folder, name }) => ({
    extends: true as const,
    test: { name, root: `${root}${folder}/${name}`, include: ['test/**/*.test.ts'] },
  }))

export default defineConfig({
  resolve: { alias },
  test: {
    globalSetup: `${root}scripts/test-setup.mjs`,
    projects,
    reporters: ['default', `${root}scripts/closing-line-reporter.mjs`],
    pool: 'forks',
    // Most of a test's time is waiting for leases and timeouts, so more of them fit than there are cores.
    maxWorkers: 5,
    testTimeout: 30_000,
    hookTimeout: 30_000,
    coverage: {
      provider: 'v8',
      include: ['packages/*/src/**/*.ts'],
      reporter: ['text-summary', 'lcovonly'],
    },
  },
})
