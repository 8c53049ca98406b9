import { EventEmitter } from 'node:events'
import { Server } from 'node:net'

type Listener = (...args: never[]) => unknown

/** What a server may be known by, although nothing of it shows any more. */
interface RequestListeners {
  /** Those that it got before it listened. */
  readonly earlier: WeakMap<Server, Set<Listener>>
  /** Told of each server that gets one while it listens. */
  readonly late: Set<(server: Server) => void>
}

const KEY: unique symbol = Symbol.for('etcd-register.request-listeners')

/** One for the class, also where two copies of the package are loaded, or where Jest gives each test file its globals. */
const prototype: Server & { [KEY]?: RequestListeners } = Server.prototype
const { earlier, late } = prototype[KEY] ?? follow()

/**
 * Some libraries take over a server: they remove its `request` listeners and call them from a listener of their own
 * (Socket.IO, terminus). Nothing leads from there to the app, so the listeners that a server gets until it listens are
 * remembered, above all the one that it is created with. Node itself adds that one through the two methods, which every
 * class of servers inherits.
 */
function follow(): RequestListeners {
  const followed: RequestListeners = { earlier: new WeakMap(), late: new Set() }
  Object.defineProperty(prototype, KEY, { value: followed })
  for (const name of ['on', 'addListener'] as const) {
    const own = Object.getOwnPropertyDescriptor(prototype, name)?.value as Server['on'] | undefined
    const { [name]: value } = {
      [name](this: Server, event: string, listener: Listener) {
        if (event === 'request' && !this.listening) {
          const known = followed.earlier.get(this)
          if (known === undefined) followed.earlier.set(this, new Set([listener]))
          else known.add(listener)
        }
        const result = (own ?? EventEmitter.prototype[name]).call(this, event, listener as never)
        if (event === 'request' && this.listening) for (const tell of followed.late) tell(this)
        return result
      },
    }
    Object.assign(prototype, { [name]: value })
  }
  return followed
}

/** Tells of each server that gets a `request` listener while it listens; returns the end of it. */
export function onLateRequestListener(listener: (server: Server) => void): () => void {
  late.add(listener)
  return () => late.delete(listener)
}

/** Those that the server has, and those that it had before it listened. */
export function requestListeners(server: Server): readonly object[] {
  return [...new Set([...(earlier.get(server) ?? []), ...server.listeners('request')])]
}
