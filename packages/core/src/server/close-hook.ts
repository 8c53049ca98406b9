import type { ServerResponse } from 'node:http'
import type { Server } from 'node:net'

/** Someone who has to leave before a server closes. */
export interface Leaver {
  /** The server closes once this has resolved. */
  leave(): Promise<void>
  /** It stops listening now. */
  closing(): void
  /** Answers that the app has ended, while bytes of them can still be in the socket. */
  unsent(): ServerResponse[]
}

interface Hook {
  readonly leavers: Set<Leaver>
  /** Gives the server its own methods back, unless somebody else has wrapped ours since. */
  undo(): boolean
}

const HOOK: unique symbol = Symbol.for('etcd-register.close')

type Hooked = Server & { closeIdleConnections?(): void; [HOOK]?: Hook }

/** One wrapper of `server.close()` for all who leave before it, also for two copies of the package; returns the end of it. */
export function beforeClose(server: Hooked, leaver: Leaver): () => void {
  server[HOOK] ??= hook(server)
  const { leavers, undo } = server[HOOK]
  leavers.add(leaver)
  return () => {
    leavers.delete(leaver)
    if (leavers.size === 0 && undo()) delete server[HOOK]
  }
}

function hook(server: Hooked): Hook {
  const leavers = new Set<Leaver>()
  const close = server.close
  const wrapper: Server['close'] = callback => {
    const leaving = server.listening ? [...leavers] : []
    if (leaving.length === 0) return close.call(server, callback)
    void Promise.allSettled(leaving.map(leaver => leaver.leave())).then(() => {
      close.call(server, callback)
      for (const leaver of leaving) leaver.closing()
    })
    return server
  }
  const undoClose = replace(server, 'close', wrapper)
  const undoIdle = spareUnsent(server, leavers)
  return {
    leavers,
    undo() {
      // With nobody in it, a wrapper that stays does nothing.
      if (server.close !== wrapper) return false
      undoClose()
      undoIdle()
      return true
    },
  }
}

/**
 * Node calls `closeIdleConnections()` as it closes, and takes for idle what the app has ended, although most of a long
 * answer to a slow client is still in the socket: https://github.com/nodejs/node/blob/v24.x/lib/_http_server.js
 */
function spareUnsent(server: Hooked, leavers: ReadonlySet<Leaver>): () => void {
  const { closeIdleConnections: close } = server
  if (close === undefined) return () => {}
  return replace(server, 'closeIdleConnections', () => {
    const unsent = [...leavers].flatMap(leaver => leaver.unsent())
    for (const response of unsent) response.finished = false
    try {
      close.call(server)
    } finally {
      for (const response of unsent) response.finished = true
    }
  })
}

/** Returns the way back, for a method that was the server's own or that of its class. */
function replace<Name extends 'close' | 'closeIdleConnections'>(
  server: Hooked,
  name: Name,
  method: Hooked[Name],
): () => void {
  const own = Object.getOwnPropertyDescriptor(server, name)
  server[name] = method
  return () => {
    if (server[name] !== method) return
    if (own === undefined) delete (server as Partial<Hooked>)[name]
    else Object.defineProperty(server, name, own)
  }
}
