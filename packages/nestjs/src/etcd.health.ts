import type { Registry } from '@etcd-register/core'
import { Inject, Injectable } from '@nestjs/common'
import { ModulesContainer } from '@nestjs/core'
import { destroysInReverse } from './destroy-order.ts'
import { ETCD_REGISTRY } from './etcd.constants.ts'

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

/**
 * For `health.check([() => etcd.isHealthy()])`. It belongs into a readiness check at most: the app serves without etcd,
 * and a restart brings no etcd back.
 */
@Injectable()
export class EtcdHealthIndicator {
  readonly #registry: Registry
  readonly #throwsIfDown: boolean

  constructor(
    @Inject(ETCD_REGISTRY) registry: Registry,
    @Inject(ModulesContainer) modules: ModulesContainer,
  ) {
    this.#registry = registry
    // Terminus for Nest 10 takes every answer for a good one; since 11 it reads the status, since 12 it only does that.
    this.#throwsIfDown = !destroysInReverse(modules)
  }

  /** Down while etcd cannot be reached, an instance is off the roll against its will, or a table is stale. */
  async isHealthy<Key extends string = 'etcd'>(key: Key = 'etcd' as Key): Promise<EtcdHealthResult<Key>> {
    const { etcd, registrations, watches } = this.#registry.status()
    const stale = watches.filter(watch => watch.stale).map(({ name }) => name)
    const off = registrations.some(({ state }) => state === 'lost' || state === 'conflict')
    const reachable = etcd.connection === 'up' || etcd.connection === 'idle'
    const status = reachable && !off && stale.length === 0 ? 'up' : 'down'
    const states = Object.fromEntries(registrations.map(({ id, state }) => [id, state]))
    const result = { status, connection: etcd.connection, registrations: states, stale }
    const causes = { [key]: result } as EtcdHealthResult<Key>
    if (status === 'up' || !this.#throwsIfDown) return causes
    throw Object.assign(new Error(`${key} is down`), { isHealthCheckError: true, causes })
  }
}
