import type { Balancer } from './balancer.ts'

/** One after the other, beginning anywhere, so that many clients do not all begin with the same one. */
export function roundRobin(): Balancer {
  let next = Math.floor(Math.random() * 0x7fff_ffff)
  return instances => {
    if (instances.length === 0) return undefined
    next = (next + 1) % instances.length
    return instances[next]
  }
}
