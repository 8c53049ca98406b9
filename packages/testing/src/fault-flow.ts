import type { Socket } from 'node:net'
import type { Pacer } from './pacer.ts'

const heldBytes = 256 * 1024

/** Less on a throttled link: what waits there delays all that comes after it. */
const heldBytesThrottled = 32 * 1024

/** What the link does at this moment to one direction of every connection. */
export interface LinkState {
  frozen: boolean
  delay: number
  /** Of a link with a limited bandwidth. */
  pacer?: Pacer | undefined
  /** Bytes that were passed on, over all connections since the start. */
  passed: number
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
  /** The pacer that this flow waits for. */
  let waitsFor: Pacer | undefined
  const held = () => (link.pacer === undefined ? heldBytes : heldBytesThrottled)

  function add(what: Item['what']) {
    queue.push({ arrived: performance.now(), what })
    if (typeof what !== 'string') queued += what.length
    pump()
    if (queued > held()) source.pause()
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
      if (link.pacer !== undefined && typeof item.what !== 'string') {
        waitForTurn(link.pacer)
        break
      }
      queue.shift()
      pass(item.what)
    }
    if (queued <= held() && !full) source.resume()
  }

  function waitForTurn(pacer: Pacer) {
    if (waitsFor === pacer) return
    waitsFor = pacer
    pacer.enqueue(most => {
      waitsFor = undefined
      const passed = passSome(most)
      pump()
      return passed
    })
  }

  /** The first bytes of the queue, unless a fault came in between. */
  function passSome(most: number): number {
    const [item] = queue
    if (item === undefined || typeof item.what === 'string' || link.frozen || full) return 0
    const part = item.what.subarray(0, most)
    if (part.length === item.what.length) queue.shift()
    else queue[0] = { arrived: item.arrived, what: item.what.subarray(most) }
    pass(part)
    return part.length
  }

  function pass(what: Item['what']) {
    if (what === 'end') sink.end()
    else if (what === 'reset') resetSocket(sink)
    else {
      queued -= what.length
      const allowed = link.allow?.(what.length) ?? what.length
      if (!sink.writable) return
      link.passed += allowed
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
