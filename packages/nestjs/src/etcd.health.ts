import type { Registry } from '@etcd-register/core'
import { Inject, Injectable } from '@nestjs/common'
import { ModulesContainer } from '@nestjs/core'
import { destroysInReverse } from './destroy-order.ts'
import { ETCD_REGISTRY } from './etcd.constants.ts'
import { EtcdLifecycle } from './etcd-lifecycle.service.ts'

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
export class EtcdHealthIndicator {
  readonly #registry: Registry
  readonly #lifecycle: EtcdLifecycle
  readonly #throwsIfDown: boolean

  constructor(
    @Inject(ETCD_REGISTRY) registry: Registry,
    @Inject(EtcdLifecycle) lifecycle: EtcdLifecycle,
    @Inject(ModulesContainer) modules: ModulesContainer,
  ) {
    this.#registry = registry
    this.#lifecycle = lifecycle
    // Terminus for Nest 10 takes every answer for a good one; since 11 it reads the status, since 12 it only does that.
    this.#throwsIfDown = !destroysInReverse(modules)
  }

  /** Down from the moment that the app leaves the roll; up while etcd is away, since it serves without. */
  async isReady<Key extends string = 'etcd'>(key: Key = 'etcd' as Key): Promise<EtcdHealthResult<Key>> {
    const { state } = this.#lifecycle
    return this.#result(key, state === 'off' || state === 'serving')
  }

  /** Down while etcd cannot be reached, an instance is off the roll against its will, or a table is stale: for operators. */
  async isHealthy<Key extends string = 'etcd'>(key: Key = 'etcd' as Key): Promise<EtcdHealthResult<Key>> {
    const { etcd, registrations, watches } = this.#registry.status()
    const off = registrations.some(({ state }) => state === 'lost' || state === 'conflict')
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
