import { randomBytes } from 'node:crypto'
import type { Clock } from './clock.ts'

/** Simple tokens: random text that names a user for as long as it is used. */
export class Tokens {
  readonly #clock: Clock
  /** In milliseconds. */
  readonly #ttl: number
  readonly #tokens = new Map<string, { user: string; expiry: number }>()

  constructor(clock: Clock, ttlSeconds: number) {
    this.#clock = clock
    this.#ttl = ttlSeconds * 1000
  }

  assign(user: string): string {
    const now = this.#clock.now()
    for (const [token, { expiry }] of this.#tokens) if (expiry <= now) this.#tokens.delete(token)
    const token = `${randomBytes(12).toString('base64url')}.${this.#tokens.size + 1}`
    this.#tokens.set(token, { user, expiry: now + this.#ttl })
    return token
  }

  /** Whose it is, if it is valid. Each use prolongs it. */
  userOf(token: string): string | undefined {
    const found = this.#tokens.get(token)
    const now = this.#clock.now()
    if (found === undefined || found.expiry <= now) return undefined
    found.expiry = now + this.#ttl
    return found.user
  }

  expire(user?: string): void {
    for (const [token, owner] of this.#tokens) {
      if (user === undefined || owner.user === user) this.#tokens.delete(token)
    }
  }
}
