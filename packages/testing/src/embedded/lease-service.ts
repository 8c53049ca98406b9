import type { Access } from './access.ts'
import type { Backend } from './backend.ts'
import type { KeyRange } from './key-range.ts'
import { type Service, service } from './rpc.ts'
import { NO_LEASE } from './store.ts'
import type { Traffic } from './traffic.ts'
import type { Int64 } from './wire.ts'

export function leaseService(backend: () => Backend, traffic: Traffic): Service {
  const leases = () => backend().leases
  const header = () => backend().header()
  /** As the versions that guard leases do: refuses who does not say who it is. */
  const beSomebody = (access: Access) => {
    if (backend().rules.guardsLeasesAndStatus) access.beSomebody()
  }
  const all = (id: Int64, may: (key: KeyRange) => void) => {
    for (const start of leases().keysOf(id)) may({ start, end: undefined })
  }
  return service('etcdserverpb.Lease', traffic, backend, {
    unary: {
      LeaseGrant(request: { ID?: Int64; TTL?: Int64 }, access) {
        beSomebody(access)
        access.propose()
        const { id, ttl } = leases().grant(request)
        return { header: header(), ID: id, TTL: String(ttl) }
      },
      LeaseRevoke({ ID = NO_LEASE }: { ID?: Int64 }, access) {
        beSomebody(access)
        access.propose()
        all(ID, access.write)
        leases().revoke(ID)
        return { header: header() }
      },
      LeaseTimeToLive({ ID = NO_LEASE, keys }: { ID?: Int64; keys?: boolean }, access) {
        beSomebody(access)
        if (keys && backend().rules.guardsLeasesAndStatus) all(ID, access.read)
        const lease = leases().get(ID)
        if (lease === undefined) return { header: header(), ID, TTL: -1 }
        const attached = keys ? leases().keysOf(ID) : []
        return {
          header: header(),
          ID,
          TTL: leases().remaining(lease),
          grantedTTL: String(lease.ttl),
          keys: attached.map(key => Buffer.from(key, 'latin1')),
        }
      },
      LeaseLeases(_, access) {
        beSomebody(access)
        const list = leases().list()
        if (backend().rules.guardsLeasesAndStatus) for (const { id } of list) all(id, access.read)
        return { header: header(), leases: list.map(({ id }) => ({ ID: id })) }
      },
    },
    streams: {
      LeaseKeepAlive: ({ send, access }) => ({
        receive({ ID = NO_LEASE }: { ID?: Int64 }) {
          if (backend().rules.guardsLeasesAndStatus) {
            const may = access()
            may.beSomebody()
            all(ID, may.write)
          }
          const lease = leases().renew(ID)
          // a lease that is gone is no error: it has no time left
          send({ header: header(), ID, TTL: String(lease?.ttl ?? 0) })
        },
      }),
    },
  })
}
