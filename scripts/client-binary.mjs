// Programs with etcd's own client in Go, which tests run against the etcd in the process.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { builtModule } from './go-module.mjs'

const modules = join(import.meta.dirname, '../fixtures/clients/go')
const common = join(modules, 'common')

/** Of the client, such as `3.6`. */
export const clientVersions = readdirSync(modules).filter(name => name !== 'common')

/** The path of the program with that version of the client. It is built if need be. */
export function clientBinary(version) {
  const source = join(modules, version)
  const folder = builtModule({ source, name: `clients/go-${version}`, as: 'heavy', beside: [common] })
  return join(folder, 'heavy')
}
