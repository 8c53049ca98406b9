import { invalidOption } from '../errors.ts'
import type { ServiceInstance } from '../types.ts'
import { random } from './random.ts'
import { roundRobin } from './round-robin.ts'

/** What a balancer may want to know of the call. */
export interface PickContext {
  /** Calls with the same key go to the same instance, where the balancer does that. */
  key?: string | undefined
}

/** Picks one of the instances that can be called; the array is the same one, and frozen, until they change. */
export type Balancer = (
  instances: readonly ServiceInstance[],
  context?: PickContext,
) => ServiceInstance | undefined

/** Makes a balancer of its own for each discovery. */
export type BalancerFactory = () => Balancer

export type BalancerName = 'round-robin' | 'random'

const BALANCERS: Readonly<Record<BalancerName, BalancerFactory>> = { 'round-robin': roundRobin, random }

/** Throws `ERR_INVALID_OPTION`. */
export function resolveBalancer(balancer: BalancerName | BalancerFactory): Balancer {
  if (typeof balancer === 'function') return balancer()
  if (Object.hasOwn(BALANCERS, balancer)) return BALANCERS[balancer]()
  throw invalidOption(
    'balancer',
    `one of ${Object.keys(BALANCERS).join(', ')}, or a BalancerFactory`,
    balancer,
  )
}
