/** No answer, or none that etcd gives: the latter also in gRPC's words, where it could not read one. */
const FAILED = / (UNAVAILABLE|DEADLINE_EXCEEDED):|invalid answer: |message parsing error|No message received/

/** How long a member that failed is passed over while there are others, in ms. */
const COOLDOWN = 5000

/** Stands in for etcd3's circuit breaker, which turns one slow answer into five seconds of refusals. */
export class Member {
  readonly name: string
  readonly #others: () => Iterable<Member>
  readonly #used: (member: Member) => void
  #failedAt = Number.NEGATIVE_INFINITY

  constructor(name: string, others: () => Iterable<Member>, used: (member: Member) => void) {
    this.name = name
    this.#others = others
    this.#used = used
  }

  get failing(): boolean {
    return performance.now() - this.#failedAt < COOLDOWN
  }

  markFailed(): void {
    this.#failedAt = performance.now()
  }

  /** Called by etcd3; a member that rejects before it ran `fn` is passed over for the next one. */
  async execute<T>(fn: () => Promise<T> | T): Promise<T> {
    if (this.failing && [...this.#others()].some(member => !member.failing)) {
      throw new Error(`14 UNAVAILABLE: ${this.name} failed a moment ago`)
    }
    this.#used(this)
    try {
      return await fn()
    } catch (error) {
      if (FAILED.test((error as Error).message)) this.markFailed()
      throw error
    }
  }
}
