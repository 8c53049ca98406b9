import { fileURLToPath } from 'node:url'
import { folderOf, loadedVersion, runAdapterContract } from 'adapter-contract'
import { createApp } from './fixtures/app.mjs'

/** The project `koa2` of vitest.config.ts resolves `koa` to that alias. */
const installed = process.env.FRAMEWORK ?? 'koa'

runAdapterContract('koa', {
  createApp,
  framework: 'koa',
  version: () => loadedVersion(/\/node_modules\/koa\d?\/lib\/application\.js$/),
  major: installed === 'koa2' ? 2 : 3,
  project: {
    app: new URL('./fixtures/app.mjs', import.meta.url),
    packages: {
      koa: folderOf(installed, import.meta.url),
      '@etcd-register/koa': fileURLToPath(new URL('..', import.meta.url)),
      '@etcd-register/core': folderOf('@etcd-register/core', import.meta.url),
    },
  },
})
