import type { Clock } from './clock.ts'
import { contains, type KeyRange } from './key-range.ts'
import type { Store } from './store.ts'
import { DELETE, type Event, PUT } from './wire.ts'

/** Revisions that one response carries at most, of those that a watch is behind. */
const BATCH = 1000

/** Milliseconds until a watch that starts in the past gets its first events. etcd takes up to 100. */
const SYNC_DELAY = 10

/** Where the events of one watch go. */
export interface Sink {
  /** Whether it takes more now; if not, `catchUp` is due once it does. */
  isFull(): boolean
  events(events: Event[], revision: number): void
  /** The watch has ended: what it needs next is compacted. */
  compacted(revision: number): void
  /** The watch has ended: what it was to be handed could not be. */
  failed(error: unknown): void
}

export interface WatchOptions {
  readonly range: KeyRange
  /** The first revision it wants. */
  readonly from: number
  readonly filters: readonly number[]
  readonly prevKv: boolean
}

export interface Watch {
  /** Whether it goes on and everything up to the store's revision was handed out. */
  isSynced(): boolean
  /** Hands out what happened since, as far as the sink takes it. */
  catchUp(): void
  end(): void
}

/** All watches of a store. */
export class WatchHub {
  readonly #clock: Clock
  readonly #store: Store
  readonly #watches = new Set<Watch>()
  /** Those that start in the past and wait for their first events. */
  readonly #late = new Set<Watch>()

  constructor(clock: Clock, store: Store) {
    this.#clock = clock
    this.#store = store
  }

  get size(): number {
    return this.#watches.size
  }

  /** Starts a watch. What it wants of the past comes a little later, as in etcd, which syncs such watches in turn. */
  open(options: WatchOptions, sink: Sink): Watch {
    const store = this.#store
    let next = options.from
    const handOut = () => {
      while (next <= store.revision && this.#watches.has(watch) && !sink.isFull()) {
        if (next < store.compacted) {
          watch.end()
          return sink.compacted(store.compacted)
        }
        const last = Math.min(next + BATCH - 1, store.revision)
        const events = eventsBetween(store, next, last, options)
        next = last + 1
        if (events.length > 0) sink.events(events, store.revision)
      }
    }
    const watch: Watch = {
      isSynced: () => this.#watches.has(watch) && !this.#late.has(watch) && next > store.revision,
      catchUp: () => {
        if (this.#late.has(watch)) return
        // who writes has nothing to do with it
        try {
          handOut()
        } catch (error) {
          watch.end()
          sink.failed(error)
        }
      },
      end: () => {
        this.#watches.delete(watch)
        this.#late.delete(watch)
      },
    }
    this.#watches.add(watch)
    if (next <= store.revision) this.#syncLater(watch)
    return watch
  }

  #syncLater(watch: Watch) {
    this.#late.add(watch)
    if (this.#late.size > 1) return
    this.#clock.at(this.#clock.now() + SYNC_DELAY, () => {
      const late = [...this.#late]
      this.#late.clear()
      for (const { catchUp } of late) catchUp()
    })
  }

  /** To call when the store has a new revision. */
  publish(): void {
    for (const watch of this.#watches) watch.catchUp()
  }
}

function eventsBetween(store: Store, first: number, last: number, options: WatchOptions): Event[] {
  const { range, filters, prevKv } = options
  const events: Event[] = []
  for (let revision = first; revision <= last; revision++) {
    for (const { key, kv } of store.changesAt(revision) ?? []) {
      const type = kv.version === 0 ? DELETE : PUT
      if (!contains(range, key) || filters.includes(type)) continue
      // what one transaction wrote over within itself is nothing former
      const prev = prevKv && kv.create_revision !== revision ? store.at(key, revision - 1) : undefined
      events.push({
        type,
        kv: type === PUT ? kv : { key: kv.key, mod_revision: revision },
        ...(prev && { prev_kv: prev }),
      })
    }
  }
  return events
}
