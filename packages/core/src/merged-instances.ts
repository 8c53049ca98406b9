import { isIPv6 } from 'node:net'
import { isCallable } from './instance.ts'
import { TableChange } from './table-change.ts'
import type { ServiceInstance } from './types.ts'

/** Where an instance was found. */
export interface Origin {
  /** Of its format among those that are read. */
  readonly rank: number
  /** create_revision of a key. */
  createdAt(key: string): number
}

/** What has one address, and the one that stands for all. */
interface Group {
  readonly members: Map<ServiceInstance, Origin>
  shown: ServiceInstance | undefined
}

/**
 * One instance for each address, however many keys give it. Of keys with one id the first format has the say. Of several
 * ids one that may be called stands for all, so that a dead one hides nobody; then again the first format, then the newest.
 */
export class MergedInstances {
  readonly #groups = new Map<string, Group>()

  instances(): ServiceInstance[] {
    return [...this.#groups.values()].map(({ shown }) => shown!)
  }

  /** What a change of some keys of one origin comes to. */
  apply({ added, removed, updated, previous }: TableChange, origin: Origin): TableChange {
    const touched = new Set<string>()
    for (const instance of [...removed, ...previous]) this.#touch(touched, instance).members.delete(instance)
    for (const instance of [...updated, ...added])
      this.#touch(touched, instance).members.set(instance, origin)
    const change = new TableChange()
    for (const address of touched) {
      const group = this.#groups.get(address)!
      const shown = firstOf(group)
      change.note(group.shown, shown)
      group.shown = shown
      if (shown === undefined) this.#groups.delete(address)
    }
    return change
  }

  #touch(touched: Set<string>, instance: ServiceInstance): Group {
    const address = addressOf(instance)
    const group = this.#groups.get(address) ?? { members: new Map(), shown: undefined }
    this.#groups.set(address, group)
    touched.add(address)
    return group
  }
}

function firstOf({ members }: Group): ServiceInstance | undefined {
  /** Whether it comes before the other one, their status aside. */
  const before = (a: ServiceInstance, b: ServiceInstance): boolean => {
    const [from, other] = [members.get(a)!, members.get(b)!]
    if (from.rank !== other.rank) return from.rank < other.rank
    const age = from.createdAt(a.key) - other.createdAt(b.key)
    return age !== 0 ? age > 0 : a.key < b.key
  }
  const byId = new Map<string, ServiceInstance>()
  for (const instance of members.keys()) {
    const known = byId.get(instance.id)
    if (known === undefined || before(instance, known)) byId.set(instance.id, instance)
  }
  let first: ServiceInstance | undefined
  for (const instance of byId.values()) {
    if (first === undefined) first = instance
    else if (isCallable(instance) !== isCallable(first)) first = isCallable(instance) ? instance : first
    else if (before(instance, first)) first = instance
  }
  return first
}

/** The same for each way to write it. */
function addressOf({ host, port }: ServiceInstance): string {
  return `${isIPv6(host) ? new URL(`x://[${host}]`).hostname : host.toLowerCase()}:${port}`
}
