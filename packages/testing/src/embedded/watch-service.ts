import type { Backend } from './backend.ts'
import type { EtcdError } from './errors.ts'
import { fragments } from './fragments.ts'
import { type KeyRange, keyRange, LAST } from './key-range.ts'
import { type Duplex, type Service, service } from './rpc.ts'
import type { Traffic } from './traffic.ts'
import type { Watch } from './watch-hub.ts'
import { counter, type Int64, type WatchCreateRequest, type WatchRequest } from './wire.ts'

/** Milliseconds between two responses to a watch that asked for progress and has no events. */
const PROGRESS_INTERVAL = 10 * 60_000

/** On a response that belongs to no watch. */
const NO_WATCH: Int64 = '-1'

const CODES: Readonly<Record<number, string>> = {
  3: 'InvalidArgument',
  7: 'PermissionDenied',
  16: 'Unauthenticated',
}

const SMALLEST_KEY = Buffer.from([0])

export function watchService(backend: () => Backend, traffic: Traffic): Service {
  return service('etcdserverpb.Watch', traffic, backend, {
    streams: { Watch: call => openStream(backend(), call) },
  })
}

interface Open {
  readonly watch: Watch
  /** 0: from now. */
  readonly start: number
  readonly stopProgress: () => void
}

/** One stream with its watches. */
function openStream(
  { hub, header, clock, store, rules }: Backend,
  { send: write, access, fail }: Duplex<object>,
) {
  const watches = new Map<Int64, Open>()
  let full = false
  let nextId = 0n

  function send(response: object) {
    full = !write({ header: header(), ...response })
  }

  function create(request: WatchCreateRequest) {
    const key = request.key?.length ? request.key : SMALLEST_KEY
    // here, unlike in a range request, an empty end is none
    const range = keyRange(request.range_end?.length ? { key, range_end: request.range_end } : { key })
    const start = counter(request.start_revision)
    const refuse = (cancel_reason: string) =>
      send({ watch_id: NO_WATCH, created: true, canceled: true, cancel_reason })
    if (rules.refusesNegativeStart && start < 0) {
      return refuse('etcdserver: mvcc: required revision has been compacted')
    }
    const { watch_id = '0' } = request
    const open = range.end === LAST && !rules.guardsOpenEndOfWatches
    const denied = reasonNotToRead(open ? { start: range.start, end: undefined } : range)
    if (denied !== undefined) return refuse(denied)
    if (range.end !== undefined && range.end <= range.start) return refuse('mvcc: watcher range is empty')
    const id = watch_id === '0' ? freeId() : watch_id
    if (watches.has(id)) return refuse('mvcc: duplicate watch ID provided on the WatchStream')
    // -1 is where a store begins that was never compacted; etcd then delivers nothing of the past
    const fromNow = start === 0 || (start < 0 && start >= store.compacted)
    const options = {
      range,
      from: fromNow ? store.revision + 1 : start,
      filters: request.filters,
      prevKv: request.prev_kv === true,
    }
    let quiet = true
    const watch = hub.open(options, {
      isFull: () => full,
      events(events, revision) {
        quiet = false
        const response = { header: { ...header(), revision }, watch_id: id }
        for (const part of fragments(events, request.fragment === true)) send({ ...response, ...part })
      },
      failed: fail,
      compacted(revision) {
        // its id stays taken until the client cancels it
        stopProgress()
        const ended = { ...header(), revision: 0 }
        // as etcd has it: compacted at 0, the watch is over, and nobody is told so
        send({ header: ended, watch_id: id, canceled: revision !== 0, compact_revision: revision })
      },
    })
    const stopProgress = request.progress_notify
      ? every(PROGRESS_INTERVAL, () => {
          if (quiet && mayReport({ watch, start })) send({ watch_id: id })
          quiet = true
        })
      : () => {}
    watches.set(id, { watch, start, stopProgress })
    send({ watch_id: id, created: true })
  }

  /** Whether a watch may be reported to be at the revision of the store. */
  function mayReport({ watch, start }: Pick<Open, 'watch' | 'start'>): boolean {
    return watch.isSynced() && (start <= store.revision || !rules.progressOnlyWhenSynced)
  }

  /** Progress of all watches of the stream. */
  function reportProgress() {
    if (rules.progressOnlyWhenSynced) {
      const open = [...watches.values()]
      if (open.length === 0 || !open.every(mayReport)) return
    }
    send({ watch_id: NO_WATCH })
  }

  /** As Go's gRPC prints it. */
  function reasonNotToRead(range: KeyRange): string | undefined {
    try {
      access().read(range)
      return undefined
    } catch (error) {
      const { code, message } = error as EtcdError
      return `rpc error: code = ${CODES[code]} desc = ${message}`
    }
  }

  function every(interval: number, fn: () => void): () => void {
    let stop = () => {}
    const next = (time: number) => {
      stop = clock.at(time, () => {
        fn()
        // what a long advance left behind is made up for once
        next(Math.max(time + interval, clock.now()))
      })
    }
    next(clock.now() + interval)
    return () => stop()
  }

  function freeId(): Int64 {
    while (watches.has(String(nextId))) nextId += 1n
    const id = String(nextId)
    nextId += 1n
    return id
  }

  function forget(id: Int64): boolean {
    const open = watches.get(id)
    open?.stopProgress()
    open?.watch.end()
    return watches.delete(id)
  }

  return {
    outlivesInput: true,
    receive({ create_request, cancel_request, progress_request }: WatchRequest) {
      if (create_request) create(create_request)
      else if (cancel_request) {
        const { watch_id: id = '0' } = cancel_request
        if (forget(id)) send({ watch_id: id, canceled: true })
      } else if (progress_request) reportProgress()
    },
    drained() {
      full = false
      for (const { watch } of watches.values()) watch.catchUp()
    },
    end() {
      for (const id of [...watches.keys()]) forget(id)
    },
  }
}
