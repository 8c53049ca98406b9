import cluster from 'node:cluster'

/** What a worker gets as it tells a primary that is gone of a server that closed, and as it ends a channel that has ended. */
const CHANNEL_ERRORS: ReadonlySet<string | undefined> = new Set(['EPIPE', 'ERR_IPC_DISCONNECTED'])

const KEY = Symbol.for('etcd-register.primary')
const shared = globalThis as { [KEY]?: true }

/**
 * Node ends a worker of a cluster with 0 as soon as its primary is gone. Leaves it to `leave` instead, which has to end
 * it. Returns the end of it.
 */
export function onPrimaryGone(leave: () => void): () => void {
  const { worker } = cluster
  if (worker === undefined) return () => {}
  if (shared[KEY] === undefined) worker.on('error', endureChannelErrors)
  shared[KEY] = true
  const disconnected = () => {
    if (worker.exitedAfterDisconnect) return
    // Node reads it in the next listener.
    worker.exitedAfterDisconnect = true
    leave()
  }
  process.prependListener('disconnect', disconnected)
  return () => process.off('disconnect', disconnected)
}

/** A primary that disconnects its workers ends the channel at once, and Node ends it again when the last server has closed. */
function endureChannelErrors(error: NodeJS.ErrnoException): void {
  if (CHANNEL_ERRORS.has(error.code)) return
  if (cluster.worker!.listenerCount('error') === 1) throw error
}
