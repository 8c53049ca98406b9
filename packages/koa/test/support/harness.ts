import { fileURLToPath } from 'node:url'
import { folderOf, type Harness, loadedVersion } from 'adapter-contract'
import { createApp } from '../fixtures/app.mjs'

/** The project `koa2` of vitest.config.ts resolves `koa` to that alias. */
const installed = process.env.FRAMEWORK ?? 'koa'

export const harness: Harness = {
  createApp,
  framework: 'koa',
  version: () => loadedVersion(/\/node_modules\/koa\d?\/lib\/application\.js$/),
  major: installed === 'koa2' ? 2 : 3,
  project: {
    app: new URL('../fixtures/app.mjs', import.meta.url),
    packages: {
      koa: folderOf(installed, import.meta.url),
      '@etcd-register/koa': fileURLToPath(new URL('../..', import.meta.url)),
      '@etcd-register/core': folderOf('@etcd-register/core', import.meta.url),
    },
  },
}
