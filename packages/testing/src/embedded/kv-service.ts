import type { Backend } from './backend.ts'
import { type Service, service } from './rpc.ts'
import type { Traffic } from './traffic.ts'
import {
  counter,
  type DeleteRangeRequest,
  type Int64,
  type PutRequest,
  type RangeRequest,
  type TxnRequest,
} from './wire.ts'

export function kvService(backend: () => Backend, traffic: Traffic): Service {
  const answer = (body: object) => ({ header: backend().header(), ...body })
  return service('etcdserverpb.KV', traffic, backend, {
    unary: {
      Range: (request: RangeRequest, access) => answer(backend().kv.range(request, access)),
      Put: (request: PutRequest, access) => answer(backend().kv.put(request, access)),
      DeleteRange: (request: DeleteRangeRequest, access) => answer(backend().kv.deleteRange(request, access)),
      Txn: (request: TxnRequest, access) => answer(backend().kv.txn(request, access)),
      Compact({ revision }: { revision?: Int64 }, access) {
        if (backend().rules.guardsCompaction) access.administer()
        access.propose()
        backend().kv.compact(counter(revision))
        return answer({})
      },
    },
    feeds: {
      async RangeStream(request: RangeRequest, access, send, signal) {
        const { cluster_id, member_id, raft_term } = backend().header()
        for (const { header, ...chunk } of backend().kv.rangeStream(request, access)) {
          if (signal.aborted) return
          const range_response = header
            ? { header: { cluster_id, member_id, raft_term, ...header }, ...chunk }
            : chunk
          await send({ range_response })
        }
      },
    },
  })
}
