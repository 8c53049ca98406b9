import { isIPv6 } from 'node:net'
import { isCallable } from './instance.ts'
import { TableChange } from './table-change.ts'
import type { ServiceInstance } from './types.ts'

/** What has one address: each instance with the rank of the range that it is in, and the one that stands for all. */
interface Group {
  readonly members: Map<ServiceInstance, number>
  shown: ServiceInstance | undefined
}

/**
 * One instance for each address, however many keys give it: one that may be called, so that a dead one hides nobody;
 * of these the one of the range that ranks first, and in it the newest.
 */
export class MergedInstances {
  readonly #groups = new Map<string, Group>()
  readonly #revisionOf: (instance: ServiceInstance, rank: number) => number

  /** `revisionOf`: of the key, in the range of this rank. */
  constructor(revisionOf: (instance: ServiceInstance, rank: number) => number) {
    this.#revisionOf = revisionOf
  }

  instances(): ServiceInstance[] {
    return [...this.#groups.values()].map(({ shown }) => shown!)
  }

  /** What a change of the keys of one range comes to. */
  apply({ added, removed, updated, previous, rewritten }: TableChange, rank: number): TableChange {
    const touched = new Set<string>()
    for (const instance of [...removed, ...previous]) this.#touch(touched, instance).members.delete(instance)
    for (const instance of [...updated, ...added]) this.#touch(touched, instance).members.set(instance, rank)
    for (const instance of rewritten) this.#touch(touched, instance)
    const change = new TableChange()
    for (const address of touched) {
      const group = this.#groups.get(address)!
      const shown = this.#first(group)
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

  #first({ members }: Group): ServiceInstance | undefined {
    let first: ServiceInstance | undefined
    for (const instance of members.keys()) {
      if (first === undefined || this.#order(members, instance, first) < 0) first = instance
    }
    return first
  }

  #order(members: Group['members'], a: ServiceInstance, b: ServiceInstance): number {
    const [rankA, rankB] = [members.get(a)!, members.get(b)!]
    return (
      Number(isCallable(b)) - Number(isCallable(a)) ||
      rankA - rankB ||
      this.#revisionOf(b, rankB) - this.#revisionOf(a, rankA) ||
      (a.key < b.key ? -1 : 1)
    )
  }
}

/** The same for each way to write it. */
function addressOf({ host, port }: ServiceInstance): string {
  return `${isIPv6(host) ? new URL(`x://[${host}]`).hostname : host.toLowerCase()}:${port}`
}
