import type { Backend } from './backend.ts'
import { type Service, service } from './rpc.ts'
import type { Traffic } from './traffic.ts'

/** A cluster of one. */
export function clusterService(backend: () => Backend, traffic: Traffic, endpoint: string): Service {
  return service('Cluster', traffic, backend, {
    MemberList: () => ({
      // the one answer that says nothing of the store
      header: { ...backend().header(), revision: 0 },
      members: [
        {
          ID: backend().memberId,
          name: 'embedded',
          peerURLs: ['http://localhost:2380'],
          clientURLs: [endpoint],
        },
      ],
    }),
  })
}
