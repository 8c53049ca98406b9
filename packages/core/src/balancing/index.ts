import { invalidOption } from '../etcd/support/errors.ts'
import type { Balancer, BalancerFactory } from './balancer.ts'
import { random } from './random.ts'
import { roundRobin } from './round-robin.ts'

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
