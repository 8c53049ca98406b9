import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { folderOf, type Harness } from 'adapter-contract'
import { createAppWith } from '../fixtures/contract-app.mjs'

const require = createRequire(import.meta.url)

export const majors: Harness[] = [harness('express4', 4), harness('express', 5)]

function harness(installed: string, major: number): Harness {
  return {
    createApp: createAppWith(require(installed)),
    framework: 'express',
    version: () => require(`${installed}/package.json`).version,
    major,
    project: {
      app: new URL('../fixtures/contract-app.mjs', import.meta.url),
      packages: {
        express: folderOf(installed, import.meta.url),
        '@etcd-register/express': fileURLToPath(new URL('../..', import.meta.url)),
        '@etcd-register/core': folderOf('@etcd-register/core', import.meta.url),
      },
    },
  }
}
