import { everything } from './access.ts'
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
  return service('KV', traffic, {
    Range: (request: RangeRequest) => answer(backend().kv.range(request, everything)),
    Put: (request: PutRequest) => answer(backend().kv.put(request, everything)),
    DeleteRange: (request: DeleteRangeRequest) => answer(backend().kv.deleteRange(request, everything)),
    Txn: (request: TxnRequest) => answer(backend().kv.txn(request, everything)),
    Compact: ({ revision }: { revision?: Int64 }) => {
      backend().kv.compact(counter(revision))
      return answer({})
    },
  })
}
