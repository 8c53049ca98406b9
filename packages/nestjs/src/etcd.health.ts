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
    connection: string
    /** Of each registration, by id. */
    registrations: Record<string, string>
    /** Services whose table may be out of date. */
    stale: string[]
  }
>

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
    return this.#result(key, this.#lifecycle.ready)
  }

  /** Down while etcd cannot be reached, an instance is not registered as it should be, or a table is stale: for operators. */
  async isHealthy<Key extends string = 'etcd'>(key: Key = 'etcd' as Key): Promise<EtcdHealthResult<Key>> {
    const { etcd, registrations, watches } = this.#registry.status()
    const off = registrations.some(
      ({ state, lastError }) =>
        state === 'lost' || state === 'conflict' || (state === 'registering' && lastError !== undefined),
    )
    const reachable = etcd.connection === 'up' || etcd.connection === 'idle'
    return this.#result(key, reachable && !off && !watches.some(({ stale }) => stale))
  }

  #result<Key extends string>(key: Key, isUp: boolean): EtcdHealthResult<Key> {
    const { etcd, registrations, watches } = this.#registry.status()
    const result = {
      status: isUp ? 'up' : 'down',
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
