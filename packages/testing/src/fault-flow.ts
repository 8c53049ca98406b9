import type { Socket } from 'node:net'

const heldBytes = 256 * 1024

/** What the link does at this moment to one direction of every connection. */
export interface LinkState {
  frozen: boolean
  delay: number
  /** Called with each chunk before it is passed on; returns how many of its bytes may pass. */
  allow?: ((bytes: number) => number) | undefined
}

/** One direction of one connection. */
export interface Flow {
  /** Passes on what may pass now: to call after each change of the link. */
  pump(): void
  dispose(): void
}

type Item = { readonly arrived: number; readonly what: Buffer | 'end' | 'reset' }

/**
 * Copies `source` to `sink` through a queue. End and reset wait in it like bytes do, so that nothing, not even
 * the news of a broken peer, gets through a frozen link. When the queue is full the kernel's buffers fill up.
 */
export function startFlow(source: Socket, sink: Socket, link: LinkState): Flow {
  const queue: Item[] = []
  let queued = 0
  let full = false
  let timer: NodeJS.Timeout | undefined

  function add(what: Item['what']) {
    queue.push({ arrived: performance.now(), what })
    if (typeof what !== 'string') queued += what.length
    pump()
    if (queued > heldBytes) source.pause()
  }

  function pump() {
    clearTimeout(timer)
    timer = undefined
    for (let item = queue[0]; item !== undefined && !link.frozen && !full; item = queue[0]) {
      const wait = item.arrived + link.delay - performance.now()
      if (wait > 0) {
        timer = setTimeout(pump, Math.ceil(wait))
        return
      }
      queue.shift()
      pass(item.what)
    }
    if (queued <= heldBytes && !full) source.resume()
  }

  function pass(what: Item['what']) {
    if (what === 'end') sink.end()
    else if (what === 'reset') resetSocket(sink)
    else {
      queued -= what.length
      const allowed = link.allow?.(what.length) ?? what.length
      if (!sink.writable) return
      full = !sink.write(allowed < what.length ? what.subarray(0, allowed) : what)
    }
  }

  function drained() {
    full = false
    pump()
  }

  source.on('data', add)
  source.on('end', () => add('end'))
  source.on('error', () => add('reset'))
  sink.on('drain', drained)

  return {
    pump,
    dispose() {
      clearTimeout(timer)
      queue.length = 0
    },
  }
}

/**
 * Resets a connection, also one whose end is just being sent: libuv refuses that with EINVAL, and Node then spins for
 * ever when the process ends.
 */
export function resetSocket(socket: Socket): void {
  if (socket.writableEnded && !socket.writableFinished) socket.destroy()
  else socket.resetAndDestroy()
}
