import { setMaxListeners } from 'node:events'
import type {
  ILeaseKeepAliveRequest,
  ILeaseKeepAliveResponse,
  IRangeRequest,
  ITxnRequest,
  IWatchRequest,
} from 'etcd3'
import { commonNameOf } from '../options/credentials.ts'
import type { ResolvedEtcdOptions } from '../options/options.ts'
import type { Clock } from '../support/clock.ts'
import { type ErrorCode, EtcdRegisterError } from '../support/errors.ts'
import { Slots } from '../support/slots.ts'
import { InvalidAnswer } from '../wire/message-fields.ts'
import type { RangePage } from '../wire/range-page.ts'
import type { TxnAnswer } from '../wire/txn-answer.ts'
import type { WatchMessage } from '../wire/watch-message.ts'
import { etcdError } from './grpc-errors.ts'
import { AWAY, type EtcdStatus, Health } from './health.ts'
import { LinkPace } from './link-pace.ts'
import { forbiddenNetwork, mayConnect } from './permission.ts'
import { type Token, TokenSource } from './token.ts'
import { NoAnswer, type Opened, type Transport, type UnaryCall } from './transport.ts'
import { TransportSource } from './transport-source.ts'

type Interceptor = NonNullable<UnaryCall['interceptors']>[number]

const READ = 'a read'
const LEASE = 'a lease'
const WRITE = 'a write'

const LEASE_EXISTS = /lease already exists/

/** Reads, and writes, that are under way at a time. */
const MOST_AT_ONCE = 32

/** Node ended the HTTP/2 session for what came over it, and gRPC goes on to use it. */
const SESSION_ENDED = /internal client error|Bandwidth exhausted/

/** Another member may do better; the request is safe to send twice. */
const ELSEWHERE: ReadonlySet<ErrorCode> = new Set([
  'ERR_ETCD_UNAVAILABLE',
  'ERR_ETCD_TIMEOUT',
  'ERR_ETCD_ANSWER',
])

export interface CallOptions {
  /** Milliseconds for one attempt; default `requestTimeout`. */
  timeout?: number
}

interface Request {
  /** What is read or written. */
  keys?: () => string[]
  puts?: boolean
  /** Any answer will do: that this user may not read the key says nothing of what is registered or discovered. */
  probe?: boolean
}

/** A duplex stream on one member. */
export interface EtcdStream<Request> {
  readonly member: string
  write(request: Request): void
  /** Whether etcd answers a read on the connection of this stream within so many ms. */
  answers(timeout: number): Promise<boolean>
  /** Ends it; its handlers are not called any more. `failed`: the member is passed over for a while. */
  cancel(failed?: boolean): void
  /** Ends it like `cancel(true)` and tells of it: its member said what no etcd says. */
  distrust(why: string): EtcdRegisterError
}

export interface StreamHandlers<Response> {
  onData(response: Response): void
  /** Once, when the stream ended or broke. */
  onClose(error: EtcdRegisterError): void
}

/**
 * The way to etcd: a request is tried once on each member; where there is one address, a second time if no answer came.
 * Connects with the first request; everything above sees our errors only.
 */
export class Connection {
  readonly #options: ResolvedEtcdOptions
  readonly #clock: Clock
  readonly #health: Health
  readonly #tokens: TokenSource
  readonly #transports: TransportSource
  readonly #slots = { reads: new Slots(MOST_AT_ONCE), writes: new Slots(MOST_AT_ONCE) }
  readonly pace: LinkPace = new LinkPace()

  constructor(options: ResolvedEtcdOptions, clock: Clock) {
    this.#options = options
    this.#clock = clock
    this.#health = new Health({
      clock,
      logger: options.logger,
      probe: () => this.#probe(),
      where: () => this.#transports.where,
    })
    // One listener for each request under way: many are no leak.
    setMaxListeners(0, this.#health.closed)
    this.#transports = new TransportSource(options, () => this.#health.leaseRest < Number.POSITIVE_INFINITY)
    this.#tokens = new TokenSource({
      auth: options.auth,
      clock,
      logger: options.logger,
      timeout: options.requestTimeout,
      members: () => this.#transports.hosts.length,
      where: () => this.#transports.where,
      leaseRest: () => this.#health.leaseRest,
      authenticate: async (auth, timeout) => {
        const transport = await this.#connected()
        return this.#bounded(timeout, call => transport.authenticate(auth, call))
      },
      closed: this.#health.closed,
    })
  }

  range(request: IRangeRequest, options?: CallOptions & Pick<Request, 'probe'>): Promise<RangePage> {
    return this.#call(READ, { ...options, keys: () => [String(request.key)] }, (transport, call) =>
      transport.range(request, call),
    )
  }

  txn(request: ITxnRequest, options?: CallOptions): Promise<TxnAnswer> {
    const keys = () => [...new Set(request.compare?.map(({ key }) => String(key)))]
    // An etcd that is full deletes.
    const puts = [request.success, request.failure].flat().some(op => op?.request_put != null)
    return this.#call(WRITE, { ...options, keys, puts }, (transport, call) => transport.txn(request, call))
  }

  /**
   * `id` is of the caller's choice. `sentAt`: when the request that was granted went out, by our clock; the first one where
   * its answer did not come, and the second one finds the lease there.
   */
  async grant(ttl: number, id: string, options?: CallOptions): Promise<{ ttl: number; sentAt: number }> {
    const sent: number[] = []
    try {
      const granted = await this.#call(LEASE, options, (transport, call) => {
        sent.push(this.#clock.now())
        return transport.grant({ TTL: ttl, ID: id }, call)
      })
      return { ttl: Number(granted.TTL), sentAt: sent.at(-1)! }
    } catch (error) {
      if (sent.length > 1 && LEASE_EXISTS.test((error as Error).message)) return { ttl, sentAt: sent[0]! }
      throw error
    }
  }

  async revoke(id: string, options?: CallOptions): Promise<void> {
    try {
      await this.#call('the end of a lease', options, (transport, call) => transport.revoke({ ID: id }, call))
    } catch (error) {
      // It is gone, perhaps by a first try whose answer did not come.
      if ((error as EtcdRegisterError).code !== 'ERR_ETCD_LEASE_NOT_FOUND') throw error
    }
  }

  openWatch(handlers: StreamHandlers<WatchMessage>): Promise<EtcdStream<IWatchRequest>> {
    const onData = (message: WatchMessage, token: Token) => {
      // A stream keeps its token: a watch that is added later may be refused for it.
      if (message.canceled) this.#tokens.refused(token, message.cancelReason)
      handlers.onData(message)
    }
    return this.#open('watch', { ...handlers, onData }, (transport, token) => transport.openWatch(token))
  }

  openKeepAlive(
    handlers: StreamHandlers<ILeaseKeepAliveResponse>,
  ): Promise<EtcdStream<ILeaseKeepAliveRequest>> {
    return this.#open('lease', handlers, (transport, token) => transport.openKeepAlive(token))
  }

  /**
   * An answer was none that etcd gives: its member is passed over for a while, and that is told. `what` was tried. Gives the
   * error to throw.
   */
  distrust(what: string, why: string, member?: string): EtcdRegisterError {
    const transport = this.#transports.opened
    const name = member ?? transport?.lastMember
    if (name !== undefined) transport?.markFailed(name)
    const error = this.failure(new InvalidAnswer(why), what, [], member)
    this.#health.failed(error, name)
    return error
  }

  /** Resolves as soon as etcd is not known to be away, or the signal aborts. */
  waitForReady(signal: AbortSignal): Promise<void> {
    return this.#health.waitForReady(signal)
  }

  /** Waits before another try, with backoff or until etcd answers again. `attempt`: 0 after the first failure, -1 after none. */
  pause(attempt: number, signal: AbortSignal): Promise<void> {
    return this.#health.pause(attempt, signal)
  }

  /** A lease runs until then, by our clock: while it does, tries are at most a second apart. */
  leaseEnds(at: number): void {
    this.#health.leaseEnds(at)
  }

  /** The members of etcd; rejects where their SRV records cannot be read. */
  async hosts(): Promise<readonly string[]> {
    if (this.#transports.hosts.length === 0) await this.#connected()
    return this.#transports.hosts
  }

  status(): EtcdStatus {
    const scheme = this.#options.secure ? 'https' : 'http'
    const { member, ...rest } = this.#health.status()
    const hosts = this.#transports.hosts.map(host => `${scheme}://${host}`)
    return { hosts, member: member && `${scheme}://${member}`, ...rest }
  }

  /** Whoever still waits for an answer gets `ERR_CLOSED`. */
  async close(): Promise<void> {
    if (this.#isClosed) return
    this.#health.close()
    await this.#transports.close()
  }

  get #isClosed(): boolean {
    return this.#health.closed.aborted
  }

  /** As many at a time as etcd answers quickly: of thousands at once, most would wait until they time out. */
  async #call<T>(
    what: string,
    options: (CallOptions & Request) | undefined,
    run: (transport: Transport, call: UnaryCall) => Promise<T>,
  ): Promise<T> {
    if (options?.probe) return await this.#callNow(what, options, run)
    const slots = this.#slots[what === READ ? 'reads' : 'writes']
    const waited = await slots.take()
    try {
      // Those before it have found etcd away, so it would only take its time to find the same.
      const down = waited ? this.#health.down : undefined
      if (down !== undefined) throw new EtcdRegisterError(down.code, down.message)
      return await this.#callNow(what, options, run)
    } finally {
      slots.release()
    }
  }

  async #callNow<T>(
    what: string,
    { timeout = this.#options.requestTimeout, keys, puts = false, probe = false }: CallOptions & Request = {},
    run: (transport: Transport, call: UnaryCall) => Promise<T>,
  ): Promise<T> {
    for (let tries = 1, refusals = 0; ; ) {
      let token: Token | undefined
      try {
        const transport = await this.#connected()
        token = await this.#unlessClosed(this.#tokens.get())
        // Half of the time, so that a second try has its own. A write may have been done: it gets all of it.
        const only = this.#transports.hosts.length === 1
        const patience = only && tries === 1 && what !== WRITE ? timeout / 2 : undefined
        const more = { token, patience }
        const result = await this.#bounded(timeout, call => run(transport, { ...call, ...more }))
        const written = puts || what === LEASE
        this.#health.answered({ member: transport.lastMember, trusted: what !== LEASE, written })
        return result
      } catch (cause) {
        const error = this.failure(cause, what, keys?.())
        // Also where another member does better.
        if (error.code === 'ERR_ETCD_ANSWER') this.#health.failed(error, this.#transports.opened?.lastMember)
        if (error.code === 'ERR_CLOSED') throw error
        refusals += 1
        if (token !== undefined && this.#tokens.refused(token, cause, refusals)) continue
        tries += 1
        const members = this.#transports.hosts.length
        const most = cause instanceof NoAnswer ? Math.max(2, members) : members
        if (ELSEWHERE.has(error.code) && tries <= most) continue
        if (AWAY.has(error.code)) this.#transports.failed()
        if (error.code === 'ERR_ETCD_ANSWER') throw error
        if (probe && !AWAY.has(error.code)) this.#health.connected()
        else this.#health.failed(error)
        throw error
      }
    }
  }

  /** Runs a request with a deadline; ends it with the connection. */
  #bounded<T>(timeout: number, run: (call: UnaryCall) => Promise<T>): Promise<T> {
    // A request still under way would keep its socket, and so the process, until its deadline.
    let cancel = () => {}
    const note: Interceptor = (options, next) => {
      const call = next(options)
      cancel = () => call.cancelWithStatus(1, 'closed')
      if (this.#isClosed) queueMicrotask(cancel)
      return call as ReturnType<Interceptor>
    }
    return this.#unlessClosed(run({ deadline: Date.now() + timeout, interceptors: [note] }), () => cancel())
  }

  async #open<Request, Response>(
    name: string,
    {
      onData,
      onClose,
    }: { onData(response: Response, token: Token): void } & Pick<StreamHandlers<Response>, 'onClose'>,
    run: (transport: Transport, token: Token) => Promise<Opened<Request, Response>>,
  ): Promise<EtcdStream<Request>> {
    const transport = await this.#connected()
    const what = `the ${name} stream`
    // A stream that is refused costs its watches or renewals; a read finds an old token without that.
    if (this.#tokens.used) await this.#probe()
    const token = await this.#unlessClosed(this.#tokens.get()).catch(cause =>
      Promise.reject(this.failure(cause, what)),
    )
    const { stream, member, answers, replace } = await run(transport, token).catch(cause =>
      Promise.reject(this.failure(cause, what)),
    )
    let open = true
    const close = (cause: unknown) => {
      if (!open) return
      open = false
      if (!this.#tokens.refused(token, cause)) member.markFailed()
      const error = this.failure(cause, what, [], member.name)
      if (error.code === 'ERR_ETCD_ANSWER') this.#health.failed(error, member.name)
      if (error.code === 'ERR_ETCD_ANSWER' || SESSION_ENDED.test(error.message)) replace()
      onClose(error)
    }
    const cancel = (failed = false) => {
      open = false
      stream.cancel()
      if (!failed) return
      member.markFailed()
      replace()
    }
    stream.on('data', response => {
      if (!open) return
      this.#health.answered({ member: member.name, trusted: false })
      onData(response, token)
    })
    stream.on('error', close)
    stream.on('end', () => close(new Error('14 UNAVAILABLE: the stream ended')))
    if (this.#isClosed) {
      cancel()
      throw this.failure(undefined, what)
    }
    return {
      member: member.name,
      cancel,
      distrust: why => {
        cancel(true)
        return this.distrust(what, why, member.name)
      },
      answers,
      write(request) {
        if (open) stream.write(request)
      },
    }
  }

  async #probe(): Promise<void> {
    try {
      await this.range({ key: Buffer.from([0]), count_only: true }, { probe: true })
    } catch (error) {
      if (AWAY.has((error as EtcdRegisterError).code)) throw error
    }
  }

  #connected(): Promise<Transport> {
    if (this.#isClosed) return Promise.reject(this.failure(undefined, ''))
    if (!mayConnect()) return Promise.reject(forbiddenNetwork(this.#transports.where))
    return this.#transports.get()
  }

  #unlessClosed<T>(promise: Promise<T>, cancel = () => {}): Promise<T> {
    const signal = this.#health.closed
    return new Promise((resolve, reject) => {
      const closed = () => {
        cancel()
        reject(this.failure(undefined, ''))
      }
      signal.addEventListener('abort', closed, { once: true })
      promise.then(resolve, reject).finally(() => signal.removeEventListener('abort', closed))
    })
  }

  /** A cause as one of our errors: `what` was tried, such as `a read`, of `keys`. */
  failure(cause: unknown, what: string, keys: readonly string[] = [], member?: string): EtcdRegisterError {
    if (this.#isClosed) return new EtcdRegisterError('ERR_CLOSED', 'The registry is closed.', { cause })
    const where = member ?? this.#transports.where
    const { username, secrets } = this.#tokens
    const { certificate } = this.#transports
    return etcdError(cause, {
      what,
      where,
      keys,
      username,
      asked: typeof this.#options.auth === 'function',
      secrets,
      get commonName() {
        return commonNameOf(certificate)
      },
    })
  }
}
