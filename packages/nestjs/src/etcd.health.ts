import type { Registry } from '@etcd-register/core'
import { Inject, Injectable } from '@nestjs/common'
import { ModulesContainer } from '@nestjs/core'
import { destroysInReverse } from './destroy-order.ts'
import { ETCD_LIFECYCLE, ETCD_REGISTRY } from './etcd.constants.ts'
import type { CurrentRegistration } from './etcd.interfaces.ts'

/** What @nestjs/terminus takes from a health indicator. */
export type EtcdHealthResult<Key extends string = string> = Record<
  Key,
  {
    status: 'up' | 'down'
    /** Why it is down, or that it is up without etcd. */
    message?: string
    /** To etcd. */
    connection: string
    /** Of each registration, by id. */
    registrations: Record<string, string>
    /** Services whose table may be out of date. */
    stale: string[]
  }
>

const UNREACHABLE = 'etcd cannot be reached'

/** For `health.check([() => etcd.isReady()])`. Neither is a liveness check: a restart brings no etcd back. */
@Injectable()
class EtcdHealthIndicator {
  readonly #registry: Registry
  readonly #lifecycle: CurrentRegistration
  readonly #throwsIfDown: boolean

  constructor(
    @Inject(ETCD_REGISTRY) registry: Registry,
    @Inject(ETCD_LIFECYCLE) lifecycle: CurrentRegistration,
    @Inject(ModulesContainer) modules: ModulesContainer,
  ) {
    this.#registry = registry
    this.#lifecycle = lifecycle
    // Terminus for Nest 10 takes every answer for a good one; since 11 it reads the status, since 12 it only does that.
    this.#throwsIfDown = !destroysInReverse(modules)
  }

  /** Down from the moment that the app deregisters; up while etcd is away, since it serves without. */
  async isReady<Key extends string = 'etcd'>(key: Key = 'etcd' as Key): Promise<EtcdHealthResult<Key>> {
    const { ready } = this.#lifecycle
    if (!ready) return this.#result(key, false, 'the app is leaving')
    return this.#result(
      key,
      true,
      this.#isReachable ? undefined : `${UNREACHABLE}; the app serves without it`,
    )
  }

  /** Down while etcd cannot be reached, an instance is not registered as it should be, or a table is stale: for operators. */
  async isHealthy<Key extends string = 'etcd'>(key: Key = 'etcd' as Key): Promise<EtcdHealthResult<Key>> {
    const { registrations, watches } = this.#registry.status()
    const faults = [
      ...(this.#isReachable ? [] : [UNREACHABLE]),
      ...registrations.flatMap(({ name, id, state, lastError }) =>
        state === 'lost' || state === 'conflict' || (state === 'registering' && lastError !== undefined)
          ? [`${name} ${id} is ${state}${lastError === undefined ? '' : `: ${lastError.message}`}`]
          : [],
      ),
      ...watches
        .filter(({ stale }) => stale)
        .map(({ name }) => `what is known of ${name} may be out of date`),
    ]
    return this.#result(key, faults.length === 0, faults.length > 0 ? faults.join('; ') : undefined)
  }

  get #isReachable(): boolean {
    const { connection } = this.#registry.status().etcd
    return connection === 'up' || connection === 'idle'
  }

  #result<Key extends string>(key: Key, isUp: boolean, message?: string): EtcdHealthResult<Key> {
    const { etcd, registrations, watches } = this.#registry.status()
    const result = {
      status: isUp ? 'up' : 'down',
      ...(message !== undefined && { message }),
      connection: etcd.connection,
      registrations: Object.fromEntries(registrations.map(({ id, state }) => [id, state])),
      stale: watches.filter(({ stale }) => stale).map(({ name }) => name),
    }
    const causes = { [key]: result } as EtcdHealthResult<Key>
    if (isUp || !this.#throwsIfDown) return causes
    throw Object.assign(new Error(`${key} is down`), { isHealthCheckError: true, causes })
  }
}

const INDICATOR: unique symbol = Symbol.for('etcd-register.nestjs.health')

/** A class is a token of its own, so an ESM and a CommonJS copy of this package share it. */
const shared = globalThis as { [INDICATOR]?: typeof EtcdHealthIndicator }
shared[INDICATOR] ??= EtcdHealthIndicator
const SharedHealthIndicator: typeof EtcdHealthIndicator = shared[INDICATOR]
type SharedHealthIndicator = EtcdHealthIndicator

export { SharedHealthIndicator as EtcdHealthIndicator }
