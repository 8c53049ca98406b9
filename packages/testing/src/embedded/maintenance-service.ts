import type { Backend } from './backend.ts'
import { EtcdError } from './errors.ts'
import { type Service, service } from './rpc.ts'
import type { Traffic } from './traffic.ts'

export function maintenanceService(backend: () => Backend, traffic: Traffic): Service {
  const header = () => backend().header()
  return service('Maintenance', traffic, backend, {
    Status() {
      const { memberId, store, rules } = backend()
      const { raft_term: raftTerm } = header()
      const index = store.revision
      return {
        header: header(),
        version: rules.release,
        dbSize: 20_480,
        dbSizeInUse: 20_480,
        leader: memberId,
        raftIndex: index,
        raftAppliedIndex: index,
        raftTerm,
      }
    },
    // as in etcd, without a header
    Alarm: () => ({}),
    Defragment: (_, { administer }) => {
      try {
        administer()
      } catch (error) {
        // etcd passes this one on as it is within
        throw new EtcdError(2, (error as Error).message.replace('etcdserver: ', 'auth: '))
      }
      return { header: header() }
    },
  })
}
