import type { Server } from 'node:net'

/** Someone who has to leave before a server closes. */
export interface Leaver {
  /** The server closes once this has resolved. */
  leave(): Promise<void>
  /** It stops listening now. */
  closing(): void
}

interface Hook {
  readonly leavers: Set<Leaver>
  readonly original: Server['close']
  readonly wrapper: Server['close']
}

const HOOK: unique symbol = Symbol.for('etcd-register.close')

type Hooked = Server & { [HOOK]?: Hook }

/** One wrapper of `server.close()` for all who leave before it, also for two copies of the package; returns the end of it. */
export function beforeClose(server: Hooked, leaver: Leaver): () => void {
  server[HOOK] ??= hook(server)
  const { leavers, wrapper, original } = server[HOOK]
  leavers.add(leaver)
  return () => {
    leavers.delete(leaver)
    // Somebody else may have wrapped it since; with nobody in it ours does nothing.
    if (leavers.size > 0 || server.close !== wrapper) return
    server.close = original
    delete server[HOOK]
  }
}

function hook(server: Server): Hook {
  const leavers = new Set<Leaver>()
  const original = server.close
  const wrapper: Server['close'] = callback => {
    const leaving = server.listening ? [...leavers] : []
    if (leaving.length === 0) return original.call(server, callback)
    void Promise.all(leaving.map(leaver => leaver.leave())).then(() => {
      original.call(server, callback)
      for (const leaver of leaving) leaver.closing()
    })
    return server
  }
  server.close = wrapper
  return { leavers, original, wrapper }
}
