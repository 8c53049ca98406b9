import type { Backend } from './backend.ts'
import { EtcdError } from './errors.ts'
import { type Service, service } from './rpc.ts'
import type { Traffic } from './traffic.ts'

/** The action of `Alarm` that asks which there are. */
const GET = 0

/** etcd's own, in bytes. */
const QUOTA = 2 * 1024 ** 3

export function maintenanceService(backend: () => Backend, traffic: Traffic): Service {
  const header = () => backend().header()
  return service('etcdserverpb.Maintenance', traffic, backend, {
    unary: {
      Status(_, access) {
        const { memberId, store, rules } = backend()
        if (rules.guardsLeasesAndStatus) access.beSomebody()
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
          ...(rules.storageVersion !== undefined && {
            storageVersion: rules.storageVersion,
            dbSizeQuota: QUOTA,
            downgradeInfo: {},
          }),
        }
      },
      Alarm({ action = GET }: { action?: number }, access) {
        const { codesOfAlarm } = backend().rules
        if (!codesOfAlarm) {
          withoutCode(access.propose)
          return {}
        }
        if (action === GET) access.beSomebody()
        else access.administer()
        return { header: header() }
      },
      Defragment: (_, { administer }) => {
        const { codesOfDefragment } = backend().rules
        if (codesOfDefragment) administer()
        else withoutCode(administer)
        return {}
      },
    },
  })
}

/** Some refusals etcd passes on as they are within. */
function withoutCode(step: () => void): void {
  try {
    step()
  } catch (error) {
    throw new EtcdError(2, (error as Error).message.replace('etcdserver: ', 'auth: '))
  }
}
