import type { Backend } from './backend.ts'
import { Queue, unknown, withoutCodes } from './queue.ts'
import { type Service, service } from './rpc.ts'
import type { Traffic } from './traffic.ts'
import { type Int64, type KeyValue, PUT } from './wire.ts'

const EMPTY = Buffer.alloc(0)

interface LeaderKey {
  name?: Buffer
  key?: Buffer
  rev?: Int64
  lease?: Int64
}

const given = (leader: LeaderKey | undefined) => {
  if (leader === undefined) throw unknown('"leader" field must be provided')
  const { name, key = EMPTY, rev = '0', lease } = leader
  return { name, key, rev, lease }
}

export function electionService(backend: () => Backend, traffic: Traffic): Service {
  return service('v3electionpb.Election', traffic, backend, {
    unary: {
      Campaign: ({ name, lease, value = EMPTY }: LeaderKey & { value?: Buffer }, access, signal) =>
        withoutCodes(async () => {
          const { header } = backend()
          const queue = new Queue(backend(), access, name)
          const own = queue.lease(lease)
          const { key, place, revision } = queue.join(own, value)
          const joined = header()
          const rev = String(revision)
          if (place !== undefined && !place.value.equals(value)) {
            queue.ifSince(key, rev, { request_put: { key, value, lease: own } })
          }
          try {
            await queue.turn(revision, signal())
          } catch (error) {
            queue.ifSince(key, rev, { request_delete_range: { key } })
            throw error
          }
          return { header: joined, leader: { name, key, rev, lease: own } }
        }),
      Proclaim: ({ leader, value = EMPTY }: { leader?: LeaderKey; value?: Buffer }, access) =>
        withoutCodes(() => {
          const { name, key, rev, lease } = given(leader)
          const queue = new Queue(backend(), access, name)
          const put = { key, value, lease: queue.lease(lease) }
          if (!queue.ifSince(key, rev, { request_put: put })) throw unknown('election: not leader')
          return { header: backend().header() }
        }),
      Leader: ({ name }: { name?: Buffer }, access) =>
        withoutCodes(() => {
          const kv = new Queue(backend(), access, name).first()
          if (kv === undefined) throw unknown('election: no leader')
          return { header: backend().header(), kv }
        }),
      Resign: ({ leader }: { leader?: LeaderKey }, access) =>
        withoutCodes(() => {
          const { name, key, rev } = given(leader)
          new Queue(backend(), access, name).ifSince(key, rev, { request_delete_range: { key } })
          return { header: backend().header() }
        }),
    },
    feeds: {
      async Observe({ name }: { name?: Buffer }, access, send, signal) {
        const { header } = backend()
        const queue = new Queue(backend(), access, name)
        const changes = queue.changes(signal)
        const next = changes.next()
        let leader: KeyValue | undefined
        /** What is known already: changes up to here came along with what was read. */
        let known = 0
        const look = async () => {
          leader = queue.first()
          known = header().revision
          if (leader !== undefined) await send({ header: header(), kv: leader })
        }
        try {
          await look()
        } catch {
          return // as etcd does, without a word
        }
        for (let step = await next; !step.done; step = await changes.next()) {
          const { event, revision } = step.value
          const kv = event.kv as KeyValue
          if (kv.mod_revision <= known) continue
          if (event.type === PUT && (leader === undefined || kv.key.equals(leader.key))) {
            await send({
              header: { ...header(), revision: leader === undefined ? kv.mod_revision : revision },
              kv,
            })
            leader ??= kv
          } else if (event.type !== PUT && leader !== undefined && kv.key.equals(leader.key)) await look()
        }
      },
    },
  })
}
