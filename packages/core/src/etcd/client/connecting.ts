import type { Socket } from 'node:net'
import { LONGEST_WHILE_HELD } from '../support/backoff.ts'

/** How the error begins where a peer accepted a connection, and no more. */
export const SILENT = 'it accepted the connection and sent nothing'

/** A connection that received nothing for so long is reported as failed, in ms. */
const PATIENCE = 2500

/**
 * Behind one address there can be several members, one of them frozen: another attempt begins so much later, in ms. From
 * MANY on the interval doubles with each, up to LONGEST_INTERVAL, or a second while a lease runs.
 */
const NEXT_ATTEMPT = 800
const LONGEST_INTERVAL = 3000

/** So many attempts are open at a time: the first one, which a slow peer answers next, and the last ones. */
const MANY = 4

/** An attempt ends after gRPC's own time for one, in ms. */
const LONGEST_ATTEMPT = 20_000

/** Those parts of gRPC's classes that are used here; they are the same since grpc-js 1.11. */
export interface Connector {
  connect(address: object, secure: SecureConnector, options: unknown): Promise<Connected>
}
interface Connected {
  shutdown(): void
  addDisconnectListener(listener: () => void): void
}
interface SecureConnector {
  connect(socket: Socket): Promise<unknown>
}

type Destination = Parameters<Connector['connect']>

interface Attempt {
  /** Resolves with the session once the peer has sent its HTTP/2 settings. */
  readonly connected: Promise<Connected>
  readonly socket: Socket | undefined
  readonly bytesRead: number
  cancel(): void
}

interface Waiting {
  readonly destination: Destination
  resolve(session: Connected): void
  reject(error: unknown): void
  /** Of an attempt meanwhile: it says more than that others are silent. */
  failure?: unknown
}

export interface ConnectingDeps {
  /** Whether a lease is lost unless it is renewed. */
  holdsLease(): boolean
  /** Gets the socket that is used. */
  established(socket: Socket | undefined): void
}

/**
 * Connects as gRPC does, but fails within a time that covers TCP, TLS and HTTP/2: gRPC itself waits for ever for a peer
 * that accepts a connection and sends nothing. The attempts go on after that, for the next call of `connect()`: a peer that
 * many connect to at once is slow, and would get slower if each began anew.
 */
export class Connecting {
  readonly #connector: Connector
  readonly #deps: ConnectingDeps
  readonly #attempts = new Set<Attempt>()
  #waiting: Waiting | undefined
  #interval = NEXT_ATTEMPT
  /** Until it is over, no other attempt begins. */
  #next: NodeJS.Timeout | undefined
  #patience: NodeJS.Timeout | undefined

  constructor(connector: Connector, deps: ConnectingDeps) {
    this.#connector = connector
    this.#deps = deps
  }

  /** One at a time, as gRPC does it. */
  connect(...destination: Destination): Promise<Connected> {
    return new Promise((resolve, reject) => {
      this.#waiting = { destination, resolve, reject }
      for (const attempt of this.#attempts) this.#follow(attempt)
      if (this.#next === undefined || this.#attempts.size === 0) this.#begin(destination)
      this.#wait(this.#received)
    })
  }

  /** Destroys the sockets of all attempts. */
  cancel(): void {
    this.#end(waiting => waiting.reject(new Error('the connection was closed')))
  }

  #begin(destination: Destination): void {
    const [, second] = this.#attempts
    if (second !== undefined && this.#attempts.size >= MANY) this.#drop(second)
    const attempt = tryOnce(this.#connector, destination)
    this.#attempts.add(attempt)
    attempt.connected.then(
      session => session.addDisconnectListener(() => this.#attempts.delete(attempt)),
      error => {
        if (this.#attempts.delete(attempt) && this.#waiting !== undefined) this.#waiting.failure = error
      },
    )
    setTimeout(() => this.#drop(attempt), LONGEST_ATTEMPT).unref()
    this.#follow(attempt)
    clearTimeout(this.#next)
    this.#next = setTimeout(() => {
      this.#next = undefined
      if (this.#waiting !== undefined) this.#begin(this.#waiting.destination)
    }, this.#interval).unref()
    const longest = this.#deps.holdsLease() ? LONGEST_WHILE_HELD : LONGEST_INTERVAL
    if (this.#attempts.size >= MANY) this.#interval = Math.min(2 * this.#interval, longest)
  }

  #drop(attempt: Attempt): void {
    if (this.#attempts.delete(attempt)) attempt.cancel()
  }

  /** The call that waits now ends with this attempt, or with the failure of the last one. */
  #follow(attempt: Attempt): void {
    const waiting = this.#waiting
    attempt.connected.then(
      session => {
        if (waiting !== this.#waiting || !this.#attempts.delete(attempt)) return
        this.#deps.established(attempt.socket)
        this.#end(({ resolve }) => resolve(session))
      },
      error => {
        if (waiting === this.#waiting && this.#attempts.size === 0) this.#end(({ reject }) => reject(error))
      },
    )
  }

  #end(answer: (waiting: Waiting) => void): void {
    clearTimeout(this.#next)
    this.#next = undefined
    this.#interval = NEXT_ATTEMPT
    for (const attempt of this.#attempts) this.#drop(attempt)
    this.#answer(answer)
  }

  #answer(answer: (waiting: Waiting) => void): void {
    clearTimeout(this.#patience)
    const waiting = this.#waiting
    this.#waiting = undefined
    if (waiting !== undefined) answer(waiting)
  }

  get #received(): number {
    return [...this.#attempts].reduce((sum, { bytesRead }) => sum + bytesRead, 0)
  }

  #wait(received: number): void {
    const giveUp = () => {
      if (this.#received > received) return this.#wait(this.#received)
      const accepted = [...this.#attempts].some(({ socket }) => socket !== undefined)
      const what = accepted ? SILENT : 'no TCP connection'
      const silence = new Error(`${what} within ${PATIENCE / 1000} s`)
      this.#answer(({ reject, failure }) => reject(failure ?? silence))
    }
    // After a look at the sockets: while the event loop was blocked, the peer may have answered.
    this.#patience = setTimeout(() => setImmediate(giveUp), PATIENCE).unref()
  }
}

function tryOnce(connector: Connector, [address, secure, options]: Destination): Attempt {
  const tcp = new AbortController()
  let socket: Socket | undefined
  let canceled = false
  const noting: SecureConnector = Object.create(secure, {
    connect: {
      value: (connected: Socket) => {
        socket = connected
        return secure.connect(connected)
      },
    },
  })
  // An object for each attempt, since gRPC's keeps its one session in itself.
  const own: Connector = Object.create(connector)
  const connected = own.connect({ ...address, signal: tcp.signal }, noting, options)
  connected.then(
    session => canceled && session.shutdown(),
    () => {},
  )
  return {
    connected,
    get socket() {
      return socket
    },
    get bytesRead() {
      return socket?.bytesRead ?? 0
    },
    cancel() {
      canceled = true
      // Between two turns of the event loop, where each socket has a listener for its errors.
      setImmediate(() => (socket === undefined ? tcp.abort() : socket.destroy()))
    },
  }
}
