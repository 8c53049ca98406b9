import type { ServiceInstance } from '../instance/instance.ts'

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
