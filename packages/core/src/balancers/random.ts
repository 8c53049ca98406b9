import type { Balancer } from './index.ts'

/** Each as likely as any other. */
export function random(): Balancer {
  return instances => instances[Math.floor(Math.random() * instances.length)]
}
