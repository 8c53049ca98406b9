import type { Backend } from './backend.ts'
import { type Service, service } from './rpc.ts'
import { NO_LEASE } from './store.ts'
import type { Traffic } from './traffic.ts'
import type { Int64 } from './wire.ts'

export function leaseService(backend: () => Backend, traffic: Traffic): Service {
  const leases = () => backend().leases
  const header = () => backend().header()
  return service(
    'Lease',
    traffic,
    backend,
    {
      LeaseGrant(request: { ID?: Int64; TTL?: Int64 }) {
        const { id, ttl } = leases().grant(request)
        return { header: header(), ID: id, TTL: String(ttl) }
      },
      LeaseRevoke({ ID = NO_LEASE }: { ID?: Int64 }, access) {
        for (const start of leases().keysOf(ID)) access.write({ start, end: undefined })
        leases().revoke(ID)
        return { header: header() }
      },
      LeaseTimeToLive({ ID = NO_LEASE, keys }: { ID?: Int64; keys?: boolean }) {
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
      LeaseLeases: () => ({
        header: header(),
        leases: leases()
          .list()
          .map(({ id }) => ({ ID: id })),
      }),
    },
    {
      LeaseKeepAlive: ({ send }) => ({
        receive({ ID = NO_LEASE }: { ID?: Int64 }) {
          const lease = leases().renew(ID)
          // a lease that is gone is no error: it has no time left
          send({ header: header(), ID, TTL: String(lease?.ttl ?? 0) })
        },
      }),
    },
  )
}
