import type { LeaseStatus, Registry } from '@etcd-register/core'

/** The lease of a registry that has registered something, as its status says. */
export function leaseOf(registry: Registry): LeaseStatus {
  return registry.status().registrations[0]!.lease
}
