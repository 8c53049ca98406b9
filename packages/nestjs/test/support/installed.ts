import { readFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import { NestFactory } from '@nestjs/core'
import { folderOf, type Harness } from 'adapter-contract'

/** The projects of vitest.config.ts load Nest from where it is installed for one of these. */
const fixture = process.env.FRAMEWORK ?? 'nest10'

export const major: number = Number(fixture.slice('nest'.length))

/** Of the Nest that runs: its files are on the stack of what it calls. */
export async function loadedVersion(): Promise<string> {
  let stack = ''
  const useFactory = () => {
    stack = new Error().stack ?? ''
    return stack
  }
  const probe = { module: class Probe {}, providers: [{ provide: 'stack', useFactory }] }
  await (await NestFactory.createApplicationContext(probe, { logger: false })).close()
  const core = /(\/[^():]*\/@nestjs\/core\/)/.exec(stack)
  return JSON.parse(readFileSync(`${core![1]}package.json`, 'utf8')).version
}

/** The app of `fixtures/app.mjs` for a plain node, on the same Nest. */
export function project(): Harness['project'] {
  const installedFor = new URL(`../../../../fixtures/${fixture}/package.json`, import.meta.url).href
  const nest = ['common', 'core', 'platform-express', 'platform-fastify'].map(name => `@nestjs/${name}`)
  const others = [...nest, 'reflect-metadata', 'rxjs']
  return {
    app: new URL('../fixtures/app.mjs', import.meta.url),
    packages: {
      ...Object.fromEntries(others.map(name => [name, folderOf(name, installedFor)])),
      '@etcd-register/nestjs': fileURLToPath(new URL('../..', import.meta.url)),
      '@etcd-register/core': folderOf('@etcd-register/core', import.meta.url),
    },
  }
}
