// Programs of other registries in Go, which tests run beside ours.
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { builtModule } from './go-module.mjs'

const modules = join(import.meta.dirname, '../fixtures/peers/go')
const common = join(modules, 'common')

/** By their folders, such as `go-zero`. */
export const peers = readdirSync(modules).filter(name => name !== 'common')

/** The path of a peer's program. It is built if need be. */
export function peerBinary(name) {
  const folder = builtModule({ source: join(modules, name), name: `peers/${name}`, as: 'peer', beside: [common] })
  return join(folder, 'peer')
}
