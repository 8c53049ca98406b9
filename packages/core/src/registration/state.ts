import type { LeaseLossReason } from '../etcd/lease/renewal.ts'

/** Where a registration stands: `lost` and `conflict` are left again by itself, `closed` is final. */
export type RegistrationState = 'registering' | 'registered' | 'suspended' | 'lost' | 'conflict' | 'closed'

/** Why a registration was lost. */
export type LossReason = LeaseLossReason | 'key-deleted' | 'key-overwritten'

/** Where each state can lead. */
export const TRANSITIONS: Readonly<Record<RegistrationState, readonly RegistrationState[]>> = {
  registering: ['registered', 'suspended', 'conflict', 'closed'],
  registered: ['suspended', 'lost', 'conflict', 'closed'],
  suspended: ['registered', 'lost', 'conflict', 'closed'],
  lost: ['registered', 'suspended', 'conflict', 'closed'],
  conflict: ['registered', 'suspended', 'closed'],
  closed: [],
}
