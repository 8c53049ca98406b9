import type { Event, KeyValue } from './wire.ts'

/** Bytes of a response beyond which it is split; etcd's own limit of a message. */
const LIMIT = 2 * 1024 * 1024

/** More than what the numbers and tags of one event take. */
const OVERHEAD = 64

/** Events as they go into responses: all in one, unless the watch wants large ones split. */
export function* fragments(
  events: Event[],
  wanted: boolean,
): Generator<{ events: Event[]; fragment: boolean }> {
  let start = 0
  let size = 0
  if (wanted) {
    for (let index = 0; index < events.length; index++) {
      const more = sizeOf(events[index]!)
      if (size + more >= LIMIT && index > start) {
        yield { events: events.slice(start, index), fragment: true }
        start = index
        size = 0
      }
      size += more
    }
  }
  yield { events: start === 0 ? events : events.slice(start), fragment: false }
}

function sizeOf({ kv, prev_kv }: Event): number {
  const bytes = ({ key, value }: Partial<KeyValue>) => (key?.length ?? 0) + (value?.length ?? 0)
  return OVERHEAD + bytes(kv) + (prev_kv === undefined ? 0 : OVERHEAD + bytes(prev_kv))
}
