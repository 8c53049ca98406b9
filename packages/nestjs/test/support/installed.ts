import { readFileSync } from 'node:fs'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { NestFactory } from '@nestjs/core'
import { folderOf, type Harness } from 'adapter-contract'

export const major: number = Number((process.env.FRAMEWORK ?? 'nest10').slice('nest'.length))

/** The `@nestjs/core` that runs: its files are on the stack of what it calls. */
const core = await (async () => {
  let stack = ''
  const useFactory = () => {
    stack = new Error().stack ?? ''
    return stack
  }
  const probe = { module: class Probe {}, providers: [{ provide: 'stack', useFactory }] }
  await (await NestFactory.createApplicationContext(probe, { logger: false })).close()
  return /(\/[^():]*\/@nestjs\/core\/)/.exec(stack)![1]!
})()

export function loadedVersion(): string {
  return JSON.parse(readFileSync(`${core}package.json`, 'utf8')).version
}

/** Where a package is installed for the Nest that runs. */
export const installed = (name: string): string => folderOf(name, pathToFileURL(core).href)

/** The app of `fixtures/app.mjs` for a plain node, on the same Nest. */
export function project(): Harness['project'] {
  const nest = ['common', 'core', 'platform-express', 'platform-fastify'].map(name => `@nestjs/${name}`)
  const others = [...nest, 'reflect-metadata', 'rxjs']
  return {
    app: new URL('../fixtures/app.mjs', import.meta.url),
    packages: {
      ...Object.fromEntries(others.map(name => [name, installed(name)])),
      '@etcd-register/nestjs': fileURLToPath(new URL('../..', import.meta.url)),
      '@etcd-register/core': folderOf('@etcd-register/core', import.meta.url),
    },
  }
}
