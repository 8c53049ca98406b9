import diagnostics from 'node:diagnostics_channel'
import { Server } from 'node:net'
import { onLateRequestListener } from './request-listeners.ts'

interface Listening {
  readonly servers: Set<Server>
  readonly listeners: Set<(server: Server) => void>
}

const CHANNEL = 'tracing:net.server.listen:asyncEnd'

/** It came with 20.16 and 22.3. */
const CHANNEL_MISSING = /^v(?:21|22\.[0-2])\./

const KEY = Symbol.for('etcd-register.listening')

/** One for the process, also where two copies of the package are loaded. */
const shared = globalThis as { [KEY]?: Listening }
shared[KEY] ??= subscribe()
const listening = shared[KEY]

/** Subscribed at import: an app may listen before it mounts a middleware. */
function subscribe(): Listening {
  const state: Listening = { servers: new Set(), listeners: new Set() }
  const listens = (server: Server) => {
    state.servers.add(server)
    server.once('close', () => state.servers.delete(server))
    for (const listener of state.listeners) listener(server)
  }
  if (CHANNEL_MISSING.test(process.version)) wrapListen(listens)
  else diagnostics.subscribe(CHANNEL, message => listens((message as { server: Server }).server))
  return state
}

/** The same for versions of Node that do not tell. */
function wrapListen(listens: (server: Server) => void): void {
  const { listen } = Server.prototype
  function listening(this: Server): void {
    listens(this)
  }
  Server.prototype.listen = function (this: Server, ...args: unknown[]) {
    // Before the listeners of the app, as the channel is.
    if (!this.listeners('listening').includes(listening)) this.prependListener('listening', listening)
    return listen.apply(this, args as never)
  }
}

/**
 * Tells of each server of this process that listens, those that already do at once, and of one again that gets a `request`
 * listener only then. Returns the end of it.
 */
export function onListening(listener: (server: Server) => void): () => void {
  for (const server of listening.servers) listener(server)
  listening.listeners.add(listener)
  const forget = onLateRequestListener(listener)
  return () => {
    listening.listeners.delete(listener)
    forget()
  }
}
