import type { Backend } from './backend.ts'
import { type Service, service } from './rpc.ts'
import type { Traffic } from './traffic.ts'

/** A cluster of one. */
export function clusterService(backend: () => Backend, traffic: Traffic, endpoint: string): Service {
  return service('etcdserverpb.Cluster', traffic, backend, {
    unary: {
      MemberList(_, access) {
        const { memberId, rules, header } = backend()
        if (rules.guardsLeasesAndStatus) access.beSomebody()
        return {
          // the one answer that says nothing of the store
          header: { ...header(), revision: 0 },
          members: [
            {
              ID: memberId,
              name: 'embedded',
              peerURLs: ['http://localhost:2380'],
              clientURLs: [endpoint],
            },
          ],
        }
      },
    },
  })
}
