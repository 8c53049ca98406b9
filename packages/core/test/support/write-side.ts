import type {
  Registration,
  Registry,
  RegistryOptions,
  RegistryStatus,
  ServiceOptions,
} from '@etcd-register/core'
import { createRegistry } from '@etcd-register/core'
import {
  type EtcdBinaryOptions,
  type EtcdMember,
  type FaultProxy,
  startEtcdBinary,
  startFaultProxy,
} from '@etcd-register/testing'
import { expect, onTestFinished } from 'vitest'
import { leases, type Row, rows } from './etcdctl-table.ts'
import { until } from './until.ts'

/** How a test of `it.concurrent` says what to clean up: with the `onTestFinished` of its own context. */
export interface Cleanup {
  onTestFinished: typeof onTestFinished
}

/** A real etcd that ends with the test. */
export async function anEtcd(test: Cleanup, options: EtcdBinaryOptions = {}): Promise<EtcdMember> {
  const etcd = await startEtcdBinary(options)
  test.onTestFinished(() => etcd.stop())
  return etcd
}

/** A link to it whose faults the test decides. */
export async function aLink(test: Cleanup, etcd: { endpoint: string }): Promise<FaultProxy> {
  const link = await startFaultProxy(etcd)
  test.onTestFinished(() => link.stop())
  return link
}

export interface LoggedRegistry extends Registry {
  /** What it warned of, errors included. */
  readonly warnings: string[]
}

/** Without `hosts` nothing is left to the environment: the first argument says where etcd is. */
export function aRegistry(
  test: Cleanup,
  etcd: { endpoint: string } | { endpoints: string[] },
  options: RegistryOptions = {},
): LoggedRegistry {
  const warnings: string[] = []
  const ignore = () => {}
  const warn = (_fields: object, message: string) => warnings.push(message)
  const registry = createRegistry({
    hosts: 'endpoints' in etcd ? etcd.endpoints : etcd.endpoint,
    // Longer than a busy machine may stand still; what is about its end has its own.
    ttl: 30,
    logger: { debug: ignore, info: ignore, warn, error: warn },
    ...options,
  })
  test.onTestFinished(() => registry.close())
  return Object.assign(registry, { warnings })
}

/** A service at an address that is nobody's (TEST-NET-1). */
export const orders = (more: Partial<ServiceOptions> = {}): ServiceOptions => ({
  name: 'orders',
  host: '192.0.2.1',
  port: 8000,
  ...more,
})

export const ORDERS_KEY = '/services/orders/192.0.2.1:8000'

/** The events of a registration as they come, but for `state`: `registered`, `lost lease-expired`, ... */
export function eventsOf(registration: Registration): string[] {
  const events: string[] = []
  registration.on('registered', () => events.push('registered'))
  registration.on('lost', reason => events.push(`lost ${reason}`))
  registration.on('conflict', () => events.push('conflict'))
  registration.on('closed', () => events.push('closed'))
  return events
}

export function statusOf(registry: Registry, registration: Registration): RegistryStatus['registrations'][0] {
  return registry.status().registrations.find(({ id }) => id === registration.instance.id)!
}

/**
 * What holds once it is quiet after any fault: etcd has exactly the instances that are registered, each under a lease
 * that lives, and every registration says so.
 */
export async function untilExactly(
  etcd: EtcdMember,
  registrations: readonly Registration[],
  { within = 25_000, prefix = '/' }: { within?: number; prefix?: string } = {},
): Promise<Row[]> {
  let found: Row[] = []
  await until(
    async () => {
      const live = new Set(await leases(etcd))
      found = await rows(etcd, prefix)
      expect(found.map(({ key }) => key)).toEqual(registrations.map(({ instance }) => instance.key).sort())
      for (const { key, lease } of found) expect(live, `leases that live, for ${key}`).toContain(lease)
      for (const { state } of registrations) expect(state).toBe('registered')
      return true
    },
    { within },
  )
  return found
}

/** Registers and waits until etcd has it. */
export async function registered(
  registry: Registry,
  service: ServiceOptions = orders(),
): Promise<Registration> {
  const registration = registry.register(service)
  await registration.ready()
  return registration
}
