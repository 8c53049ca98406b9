import diagnostics from 'node:diagnostics_channel'
import type { Server } from 'node:net'

interface Listening {
  readonly servers: Set<Server>
  readonly listeners: Set<(server: Server) => void>
}

const KEY = Symbol.for('etcd-register.listening')

/** One for the process, also where two copies of the package are loaded. */
const shared = globalThis as { [KEY]?: Listening }
shared[KEY] ??= subscribe()
const listening = shared[KEY]

/** Subscribed at import: an app may listen before it mounts a middleware. */
function subscribe(): Listening {
  const state: Listening = { servers: new Set(), listeners: new Set() }
  diagnostics.subscribe('tracing:net.server.listen:asyncEnd', message => {
    const { server } = message as { server: Server }
    state.servers.add(server)
    server.once('close', () => state.servers.delete(server))
    for (const listener of state.listeners) listener(server)
  })
  return state
}

/** Tells of each server of this process that listens, those that already do at once; returns the end of it. */
export function onListening(listener: (server: Server) => void): () => void {
  for (const server of listening.servers) listener(server)
  listening.listeners.add(listener)
  return () => listening.listeners.delete(listener)
}
