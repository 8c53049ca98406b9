import { launchMembers } from './etcd-launch.ts'
import type { EtcdMember } from './etcd-member.ts'
import type { EtcdOptions } from './etcd-options.ts'

/** Options of {@link startEtcdBinary}. */
export interface EtcdBinaryOptions extends EtcdOptions {
  /** Client port on 127.0.0.1; a free one by default. */
  port?: number | undefined
}

/**
 * Starts a real etcd of one member on 127.0.0.1 with its data in a temporary folder; resolves when it is healthy.
 * Rejects when no etcd is installed or it does not start. It ends with the process that started it.
 */
export async function startEtcdBinary(options: EtcdBinaryOptions = {}): Promise<EtcdMember> {
  const [member] = await launchMembers(1, options, options.port)
  return member!
}
