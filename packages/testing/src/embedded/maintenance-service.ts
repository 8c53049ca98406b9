import type { Access } from './access.ts'
import type { Backend } from './backend.ts'
import { EtcdError } from './errors.ts'
import { type Service, service } from './rpc.ts'
import type { Traffic } from './traffic.ts'
import { counter, type Int64 } from './wire.ts'

/** The action of `Alarm` that asks which there are. */
const GET = 0

/** etcd's own, in bytes. */
const QUOTA = 2 * 1024 ** 3

export function maintenanceService(backend: () => Backend, traffic: Traffic): Service {
  const header = () => backend().header()
  const administer = (access: Access) => {
    if (backend().rules.codesOfDefragment) access.administer()
    else withoutCode(access.administer)
  }
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
      Defragment(_, access) {
        administer(access)
        return {}
      },
      Hash(_, access) {
        administer(access)
        const { store } = backend()
        return { header: header(), hash: store.hash(store.revision) }
      },
      HashKV({ revision = '0' }: { revision?: Int64 }, access) {
        administer(access)
        const { store } = backend()
        const upTo = counter(revision) || store.revision
        return { header: header(), hash: store.hash(upTo), compact_revision: Math.max(store.compacted, 0) }
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
