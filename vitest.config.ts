import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { defineConfig, type Plugin } from 'vitest/config'
import { installed } from './fixtures/setups/installation.mjs'

const root = fileURLToPath(new URL('.', import.meta.url))

/** What is tested is loaded as its source, other packages as they were built, once for all files that share a process. */
const sourceOf = (folder: string): [string, string][] => {
  const { name } = JSON.parse(readFileSync(`${root}${folder}/package.json`, 'utf8'))
  const index = `${root}${folder}/src/index.ts`
  return existsSync(index) ? [[name, index]] : []
}

/** Loads what matches from where it is installed for another package, whose folder is asked for with the first import. */
const from = (names: RegExp, folder: () => string): Plugin => ({
  name: 'from another package',
  enforce: 'pre',
  resolveId(source) {
    return names.test(source) ? this.resolve(source, `${folder()}/package.json`, { skipSelf: true }) : null
  },
})

/** Loads another package under the name of this one. */
const insteadOf = (name: string, other: string): Plugin => ({
  name: `${other} instead of ${name}`,
  enforce: 'pre',
  resolveId(source, importer) {
    return source === name ? this.resolve(other, importer, { skipSelf: true }) : null
  },
})

/** Tests that start a real etcd get the embedded one. */
const onEmbeddedEtcd: Plugin = {
  name: 'on the embedded etcd',
  enforce: 'pre',
  resolveId(source, importer) {
    const instead = `${root}packages/core/test/support/embedded-testing.ts`
    return source === '@etcd-register/testing' && importer !== instead ? instead : null
  },
}

const NEST = /^(@nestjs\/|reflect-metadata$|rxjs$)/

/** How an app ends takes a minute of CPU for each framework, so here it is Express alone; `npm run exits` has the others. */
const withoutExits = process.env.EXITS === undefined ? ['test/exit.test.ts'] : []

/** Some 60 tricks, each with an etcd behind it, take a minute: `npm run hostile` plays them. */
const withoutHostile = process.env.HOSTILE === undefined ? ['test/connection/hostile-etcd.test.ts'] : []

interface Variant {
  name: string
  plugins: Plugin[]
  /** Packages whose source is taken, by default the one that is tested. */
  sources?: string[]
  isolate?: boolean
  include?: string[]
  exclude?: string[]
}

/** Packages whose tests run several times: for each major of their framework, or on each etcd; and an app on a major of its own. */
const variants: Record<string, Variant[]> = {
  core: [
    { name: 'core', plugins: [], exclude: withoutHostile },
    {
      name: 'core-embedded',
      plugins: [onEmbeddedEtcd],
      // of servers only the registration: how they close and what signals do is the same on each etcd
      include: [
        'test/{registration,discovery}/*.test.ts',
        'test/server/attach-server.test.ts',
        'test/security/secrets.test.ts',
      ],
      exclude: [
        // what needs several members, a store on disk, a quota, the lines that etcd logs, or many minutes
        'test/**/{cluster,dead-member,restored,restored-backup,full,access,soak}.test.ts',
        // what is about the link, a proxy, or large amounts, whatever the etcd
        'test/**/{gap-free,slow-link,streams,grpc-proxy,idle-hour,event-loop-blocked}.test.ts',
      ],
    },
  ],
  koa: [
    // Both majors extend a class of Node's module cache, so they share no process.
    { name: 'koa', plugins: [], isolate: true, exclude: withoutExits },
    { name: 'koa2', plugins: [insteadOf('koa', 'koa2')], isolate: true, exclude: withoutExits },
  ],
  nestjs: Object.entries({
    nest10: () => `${root}fixtures/nest10`,
    nest11: () => `${root}fixtures/nest11`,
    // Wants a newer Node than the oldest that is supported, so it is not in the tree.
    nest12: () => installed('nest12'),
  }).map(([name, folder]) => ({ name, plugins: [from(NEST, folder)], exclude: withoutExits })),
  'nest-payments': [
    {
      name: 'nest-payments',
      plugins: [from(NEST, () => `${root}apps/nest-payments`)],
      sources: ['packages/nestjs'],
    },
  ],
}

const projects = ['packages', 'apps']
  .flatMap(folder => readdirSync(`${root}${folder}`).map(name => ({ folder, name })))
  .filter(({ folder, name }) => existsSync(`${root}${folder}/${name}/test`))
  .flatMap(({ folder, name: project }) =>
    (variants[project] ?? [{ name: project, plugins: [] }]).map(
      ({ name, plugins, sources = [`${folder}/${project}`], isolate = false, include, exclude = [] }) => ({
        extends: true as const,
        plugins,
        resolve: { alias: Object.fromEntries(sources.flatMap(sourceOf)) },
        test: {
          name,
          root: `${root}${folder}/${project}`,
          include: include ?? ['test/**/*.test.ts'],
          exclude,
          isolate,
          env: { FRAMEWORK: name },
        },
      }),
    ),
  )

export default defineConfig({
  test: {
    server: { deps: { external: [/\/packages\/[^/]+\/dist\//] } },
    globalSetup: `${root}scripts/test-setup.mjs`,
    projects,
    reporters: ['default', `${root}scripts/closing-line-reporter.mjs`],
    pool: 'forks',
    // To load frameworks and gRPC takes longer than most files of tests, so those of one process share them.
    isolate: false,
    // Most of a test's time is waiting for leases and timeouts, so more of them fit than there are cores.
    maxWorkers: 5,
    // Only what never happens ends by these: a busy machine takes many times as long as a free one.
    testTimeout: 90_000,
    hookTimeout: 90_000,
    // A state that is awaited comes when it comes: how fast is for bench/ to say.
    expect: { poll: { timeout: 20_000 } },
    coverage: {
      provider: 'v8',
      include: ['packages/*/src/**/*.ts'],
      reporter: ['text-summary', 'lcovonly'],
    },
  },
})
