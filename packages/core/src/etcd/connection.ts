import { setMaxListeners } from 'node:events'
import type {
  ILeaseGrantResponse,
  ILeaseKeepAliveRequest,
  ILeaseKeepAliveResponse,
  IRangeRequest,
  ITxnRequest,
  ITxnResponse,
  IWatchRequest,
} from 'etcd3'
import type { Clock } from '../clock.ts'
import { type ErrorCode, EtcdRegisterError } from '../errors.ts'
import type { ResolvedOptions } from '../options.ts'
import type { RegistryStatus } from '../types.ts'
import { Availability, AWAY } from './availability.ts'
import { etcdError } from './errors.ts'
import type { RangePage } from './range-page.ts'
import { type Opened, openTransport, type Transport } from './transport.ts'
import type { WatchMessage } from './watch-message.ts'

type UnaryOptions = NonNullable<Parameters<Transport['kv']['txn']>[1]>
type Interceptor = NonNullable<UnaryOptions['interceptors']>[number]

const LEASE = 'a lease'
const WRITE = 'a write'

/** Somebody changed users or roles between etcd's check of the request and its turn. */
const RACED = /revision of auth store is old/

/** Another member may do better; the request is safe to send twice. */
const ELSEWHERE: ReadonlySet<ErrorCode> = new Set(['ERR_ETCD_UNAVAILABLE', 'ERR_ETCD_TIMEOUT'])

export interface CallOptions {
  /** Milliseconds for one attempt; default `requestTimeout`. */
  timeout?: number
}

/** A duplex stream on one member. */
export interface EtcdStream<Request> {
  readonly member: string
  write(request: Request): void
  /** Ends it; its handlers are not called any more. `failed`: the member is passed over for a while. */
  cancel(failed?: boolean): void
}

export interface StreamHandlers<Response> {
  onData(response: Response): void
  /** Once, when the stream ended or broke. */
  onClose(error: EtcdRegisterError): void
}

/**
 * The way to etcd: a request is tried once on each member. Connects with the first one; everything above sees our
 * errors only.
 */
export class Connection {
  readonly #options: ResolvedOptions
  readonly #clock: Clock
  readonly #availability: Availability
  #transport: Promise<Transport> | undefined

  constructor(options: ResolvedOptions, clock: Clock) {
    this.#options = options
    this.#clock = clock
    this.#availability = new Availability({ clock, logger: options.logger, probe: () => this.#probe() })
    // One listener for each request under way: many are no leak.
    setMaxListeners(0, this.#availability.closed)
  }

  range(request: IRangeRequest, options?: CallOptions): Promise<RangePage> {
    return this.#call('a read', { ...options, keys: () => [String(request.key)] }, (transport, call) =>
      transport.range(request, call),
    )
  }

  txn(request: ITxnRequest, options?: CallOptions): Promise<ITxnResponse> {
    const keys = () => [...new Set(request.compare?.map(({ key }) => String(key)))]
    return this.#call(WRITE, { ...options, keys }, (transport, call) => transport.kv.txn(request, call))
  }

  /** `sentAt`: when the request that was granted went out, by our clock. */
  async grant(ttl: number, options?: CallOptions): Promise<ILeaseGrantResponse & { sentAt: number }> {
    let sentAt = 0
    const granted = await this.#call(LEASE, options, (transport, call) => {
      sentAt = this.#clock.now()
      return transport.lease.leaseGrant({ TTL: ttl }, call)
    })
    return { ...granted, sentAt }
  }

  async revoke(id: string, options?: CallOptions): Promise<void> {
    await this.#call('the end of a lease', options, (transport, call) =>
      transport.lease.leaseRevoke({ ID: id }, call),
    )
  }

  openWatch(handlers: StreamHandlers<WatchMessage>): Promise<EtcdStream<IWatchRequest>> {
    return this.#open('watch', true, handlers, transport => transport.openWatch())
  }

  openKeepAlive(
    handlers: StreamHandlers<ILeaseKeepAliveResponse>,
  ): Promise<EtcdStream<ILeaseKeepAliveRequest>> {
    return this.#open('lease', false, handlers, transport => transport.openKeepAlive())
  }

  /** Resolves as soon as etcd is not known to be away, or the signal aborts. */
  whenUp(signal: AbortSignal): Promise<void> {
    return this.#availability.whenUp(signal)
  }

  status(): RegistryStatus['etcd'] {
    return { hosts: [...this.#options.hosts], ...this.#availability.status() }
  }

  /** Whoever still waits for an answer gets `ERR_CLOSED`. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#availability.close()
    const transport = await this.#transport?.catch(() => undefined)
    transport?.close()
  }

  get #isClosed(): boolean {
    return this.#availability.closed.aborted
  }

  async #call<T>(
    what: string,
    { timeout = this.#options.requestTimeout, keys }: CallOptions & { keys?: () => string[] } = {},
    run: (transport: Transport, call: UnaryOptions) => Promise<T>,
  ): Promise<T> {
    for (let tries = 1; ; tries += 1) {
      try {
        const transport = await this.#connected()
        // A request still under way would keep its socket, and so the process, until its deadline.
        let cancel = () => {}
        const note: Interceptor = (options, next) => {
          const call = next(options)
          cancel = () => call.cancelWithStatus(1, 'closed')
          if (this.#isClosed) queueMicrotask(cancel)
          return call as ReturnType<Interceptor>
        }
        const call = { deadline: Date.now() + timeout, interceptors: [note] }
        const result = await this.#unlessClosed(run(transport, call), () => cancel())
        const written = what === WRITE || what === LEASE
        this.#availability.answered({ member: transport.lastMember, trusted: what !== LEASE, written })
        return result
      } catch (cause) {
        const error = this.#failed(cause, what, keys?.())
        if (error.code === 'ERR_CLOSED') throw error
        const most = RACED.test(error.message)
          ? 3
          : ELSEWHERE.has(error.code)
            ? this.#options.hosts.length
            : 1
        if (tries < most) continue
        this.#availability.failed(error)
        throw error
      }
    }
  }

  /** `trusted`: whether it works for known users only. */
  async #open<Request, Response>(
    name: string,
    trusted: boolean,
    { onData, onClose }: StreamHandlers<Response>,
    run: (transport: Transport) => Promise<Opened<Request, Response>>,
  ): Promise<EtcdStream<Request>> {
    const transport = await this.#connected()
    // A stream does not renew an expired token; a unary request does. Being refused the key proves the token good.
    if (this.#options.auth !== undefined) await this.#probe()
    const what = `the ${name} stream`
    const { stream, member } = await run(transport).catch(cause => Promise.reject(this.#failed(cause, what)))
    let open = true
    const close = (cause: unknown) => {
      if (!open) return
      open = false
      member.markFailed()
      onClose(this.#failed(cause, what))
    }
    const cancel = (failed = false) => {
      open = false
      if (failed) member.markFailed()
      stream.cancel()
    }
    stream.on('data', response => {
      if (!open) return
      this.#availability.answered({ member: member.name, trusted })
      onData(response)
    })
    stream.on('error', close)
    stream.on('end', () => close(new Error('14 UNAVAILABLE: the stream ended')))
    if (this.#isClosed) {
      cancel()
      throw this.#failed(undefined, what)
    }
    return {
      member: member.name,
      cancel,
      write(request) {
        if (open) stream.write(request)
      },
    }
  }

  async #probe(): Promise<void> {
    try {
      await this.range({ key: Buffer.from([0]), count_only: true })
    } catch (error) {
      if (AWAY.has((error as EtcdRegisterError).code)) throw error
    }
  }

  #connected(): Promise<Transport> {
    if (this.#isClosed) return Promise.reject(this.#failed(undefined, ''))
    this.#transport ??= openTransport(this.#options)
    return this.#transport
  }

  #unlessClosed<T>(promise: Promise<T>, cancel: () => void): Promise<T> {
    const signal = this.#availability.closed
    return new Promise((resolve, reject) => {
      const closed = () => {
        cancel()
        reject(this.#failed(undefined, ''))
      }
      signal.addEventListener('abort', closed, { once: true })
      promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', closed))
    })
  }

  #failed(cause: unknown, what: string, keys: readonly string[] = []): EtcdRegisterError {
    if (this.#isClosed) return new EtcdRegisterError('ERR_CLOSED', 'The registry is closed.', { cause })
    const where = this.#options.hosts.join(', ')
    return etcdError(cause, { what, where, keys, username: this.#options.auth?.username })
  }
}
