import type { Backend } from './backend.ts'
import { Queue, unknown, withoutCodes } from './queue.ts'
import { type Service, service } from './rpc.ts'
import type { Traffic } from './traffic.ts'
import type { Int64 } from './wire.ts'

const EMPTY = Buffer.alloc(0)

export function lockService(backend: () => Backend, traffic: Traffic): Service {
  return service('v3lockpb.Lock', traffic, backend, {
    unary: {
      Lock: ({ name, lease }: { name?: Buffer; lease?: Int64 }, access, signal) =>
        withoutCodes(async () => {
          const { header, kv } = backend()
          const queue = new Queue(backend(), access, name)
          const { key, revision } = queue.join(queue.lease(lease), EMPTY)
          const joined = header()
          if ((queue.first()?.create_revision ?? revision) === revision) return { header: joined, key }
          try {
            await queue.turn(revision, signal())
          } catch (error) {
            kv.deleteRange({ key }, access)
            throw error
          }
          if (!queue.has(key)) throw unknown('mutex: session is expired')
          return { header: header(), key }
        }),
      Unlock: ({ key }: { key?: Buffer }, access) =>
        withoutCodes(() => {
          const { header, kv } = backend()
          kv.deleteRange(key === undefined ? {} : { key }, access)
          return { header: header() }
        }),
    },
  })
}
