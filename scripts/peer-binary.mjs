// Programs of other registries in Go, which tests run beside ours.
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { builtModule } from './go-module.mjs'

const modules = join(import.meta.dirname, '../fixtures/peers/go')
/** What mains share; those of grpc-go differ in their versions only. */
const shared = ['common', 'grpc-go', 'traefik/ext']

/** The text of a peer's main.go. That of Kratos 2 is the one of Kratos 3 with other imports. */
function mainOf(name) {
  if (name !== 'kratos-2') return undefined
  return readFileSync(join(modules, 'kratos-3/main.go'), 'utf8').replaceAll('kratos/v3', 'kratos/v2')
}

/** Others are modules that mains share. */
const isPeer = name => mainOf(name) !== undefined || existsSync(join(modules, name, 'main.go'))

/** By their folders, such as `go-zero`: all, or those that `PEERS` names, separated by commas. */
export const peers = process.env.PEERS?.split(',') ?? readdirSync(modules).filter(name => isPeer(name))

/** The path of a peer's program. It is built if need be. */
export function peerBinary(name) {
  if (!isPeer(name)) throw new Error(`No such peer: ${name}. They are the folders of fixtures/peers/go.`)
  const beside = shared.map(folder => join(modules, folder))
  const folder = builtModule({
    source: join(modules, name),
    name: `peers/${name}`,
    as: 'peer',
    beside,
    main: mainOf(name),
  })
  return join(folder, 'peer')
}
