import type { Balancer } from './balancer.ts'

/** Each as likely as any other. */
export function random(): Balancer {
  return instances => instances[Math.floor(Math.random() * instances.length)]
}
