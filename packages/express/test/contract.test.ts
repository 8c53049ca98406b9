import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { folderOf, runAdapterContract } from 'adapter-contract'
import { createAppWith } from './fixtures/contract-app.mjs'

const require = createRequire(import.meta.url)

for (const [installed, major] of [
  ['express4', 4],
  ['express', 5],
] as const) {
  runAdapterContract('express', {
    createApp: createAppWith(require(installed)),
    framework: 'express',
    version: () => require(`${installed}/package.json`).version,
    major,
    project: {
      app: new URL('./fixtures/contract-app.mjs', import.meta.url),
      packages: {
        express: folderOf(installed, import.meta.url),
        '@etcd-register/express': fileURLToPath(new URL('..', import.meta.url)),
        '@etcd-register/core': folderOf('@etcd-register/core', import.meta.url),
      },
    },
  })
}
