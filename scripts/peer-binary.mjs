// Programs of other registries in Go, which tests run beside ours.
import { existsSync, readdirSync } from 'node:fs'
import { join } from 'node:path'
import { builtModule } from './go-module.mjs'

const modules = join(import.meta.dirname, '../fixtures/peers/go')
/** What mains share; those of grpc-go differ in their versions only. */
const shared = ['common', 'grpc-go', 'traefik/ext']

/** By their folders, such as `go-zero`: all, or those that `PEERS` names, separated by commas. */
export const peers =
  process.env.PEERS?.split(',') ??
  readdirSync(modules).filter(name => existsSync(join(modules, name, 'main.go')))

/** The path of a peer's program. It is built if need be. */
export function peerBinary(name) {
  if (!existsSync(join(modules, name, 'main.go')))
    throw new Error(`No such peer: ${name}. They are the folders of fixtures/peers/go.`)
  const beside = shared.map(folder => join(modules, folder))
  const folder = builtModule({ source: join(modules, name), name: `peers/${name}`, as: 'peer', beside })
  return join(folder, 'peer')
}
