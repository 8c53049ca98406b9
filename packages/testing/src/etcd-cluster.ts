import { setTimeout as sleep } from 'node:timers/promises'
import type { CertificateAuthority, ClientTls } from './certificates.ts'
import { etcdRequest } from './etcd-http.ts'
import { launchMembers } from './etcd-launch.ts'
import type { EtcdMember } from './etcd-member.ts'
import type { EtcdOptions } from './etcd-options.ts'
import { parseMetrics } from './metrics.ts'

/** Options of {@link startEtcdCluster}. */
export interface EtcdClusterOptions extends EtcdOptions {
  /** How many members; default 3. */
  members?: number | undefined
}

/** Several real etcd members that form one cluster. */
export interface EtcdCluster extends AsyncDisposable {
  readonly members: readonly EtcdMember[]
  /** The client URL of each member. */
  readonly endpoints: string[]
  /** With the option `tls`: the authority and a client's certificate and key, as PEM. */
  readonly tls?: ClientTls | undefined
  /** With the option `tls`: issues more certificates the cluster trusts. */
  readonly authority?: CertificateAuthority | undefined
  /** The member that leads; waits up to `timeout` ms (10000) for one that answers. */
  leader(timeout?: number): Promise<EtcdMember>
  /** Ends all members and removes their data. Can be called again. */
  stop(): Promise<void>
}

/**
 * Starts a cluster of real etcd members on 127.0.0.1; resolves when all are healthy. Members keep etcd's own
 * heartbeat (100 ms) and election timeout (1000 ms).
 */
export async function startEtcdCluster(options: EtcdClusterOptions = {}): Promise<EtcdCluster> {
  const count = options.members ?? 3
  if (!Number.isInteger(count) || count < 1) throw new RangeError(`members must be 1 or more: ${count}`)
  const members = await launchMembers(count, options, undefined)

  async function findLeader(): Promise<EtcdMember> {
    return await Promise.any(
      members.map(async member => {
        if (member.pid === undefined) throw new Error('not running')
        const metrics = parseMetrics(await etcdRequest(member, '/metrics', { timeout: 500 }))
        if (metrics.get('etcd_server_is_leader') !== 1) throw new Error('not the leader')
        return member
      }),
    )
  }

  const cluster: EtcdCluster = {
    members,
    endpoints: members.map(({ endpoint }) => endpoint),
    tls: members[0]?.tls,
    authority: members[0]?.authority,
    async leader(timeout = 10_000) {
      const end = performance.now() + timeout
      for (;;) {
        try {
          return await findLeader()
        } catch (error) {
          if (performance.now() > end) throw new Error(`No leader within ${timeout} ms`, { cause: error })
          await sleep(20)
        }
      }
    },
    async stop() {
      await Promise.all(members.map(member => member.stop()))
    },
    [Symbol.asyncDispose]: () => cluster.stop(),
  }
  return cluster
}
