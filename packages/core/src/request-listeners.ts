import { EventEmitter } from 'node:events'
import { Server } from 'node:net'

type Listener = (...args: never[]) => unknown

const EARLIER: unique symbol = Symbol.for('etcd-register.request-listeners')

/** One for the class, also where two copies of the package are loaded, or where Jest gives each test file its globals. */
const prototype: Server & { [EARLIER]?: WeakMap<Server, Set<Listener>> } = Server.prototype
const earlier = prototype[EARLIER] ?? remember()

/**
 * Some libraries take over a server: they remove its `request` listeners and call them from a listener of their own
 * (Socket.IO, terminus). Nothing leads from there to the app, so the listeners that a server gets until it listens are
 * remembered, above all the one that it is created with. Node itself adds that one through the two methods, which every
 * class of servers inherits.
 */
function remember(): WeakMap<Server, Set<Listener>> {
  const listeners = new WeakMap<Server, Set<Listener>>()
  Object.defineProperty(prototype, EARLIER, { value: listeners })
  for (const name of ['on', 'addListener'] as const) {
    const own = Object.getOwnPropertyDescriptor(prototype, name)?.value as Server['on'] | undefined
    const { [name]: value } = {
      [name](this: Server, event: string, listener: Listener) {
        if (event === 'request' && !this.listening) {
          const known = listeners.get(this)
          if (known === undefined) listeners.set(this, new Set([listener]))
          else known.add(listener)
        }
        return (own ?? EventEmitter.prototype[name]).call(this, event, listener as never)
      },
    }
    Object.assign(prototype, { [name]: value })
  }
  return listeners
}

/** Those that the server has, and those that it had before it listened. */
export function requestListeners(server: Server): readonly object[] {
  return [...new Set([...(earlier.get(server) ?? []), ...server.listeners('request')])]
}
