import { authority } from './address.ts'
import { TableChange } from './table-change.ts'
import type { ServiceInstance } from './types.ts'

/** What has one address, by the rank of the range that it is in. */
type Group = Set<ServiceInstance>[]

/**
 * One instance for each address, however many keys give it: the one of the range that ranks first, and in it the first
 * that came. When its key goes, the next one stands for the address.
 */
export class MergedInstances {
  readonly #groups = new Map<string, Group>()

  get size(): number {
    return this.#groups.size
  }

  instances(): ServiceInstance[] {
    return [...this.#groups.values()].map(group => shownOf(group)!)
  }

  /** What a change of the keys of one range comes to. */
  apply({ added, removed, updated, previous }: TableChange, rank: number): TableChange {
    const before = new Map<string, ServiceInstance | undefined>()
    const touch = (instance: ServiceInstance): string => {
      const address = authority(instance.host, instance.port)
      if (!before.has(address)) before.set(address, shownOf(this.#groups.get(address)))
      return address
    }
    for (const instance of [...removed, ...previous]) this.#delete(touch(instance), instance, rank)
    for (const instance of [...updated, ...added]) this.#add(touch(instance), instance, rank)
    const change = new TableChange()
    for (const [address, instance] of before) {
      const group = this.#groups.get(address)
      const shown = shownOf(group)
      if (group !== undefined && shown === undefined) this.#groups.delete(address)
      change.note(instance, shown)
    }
    return change
  }

  #add(address: string, instance: ServiceInstance, rank: number): void {
    const group = this.#groups.get(address) ?? []
    this.#groups.set(address, group)
    const known = group[rank] ?? new Set()
    group[rank] = known.add(instance)
  }

  #delete(address: string, instance: ServiceInstance, rank: number): void {
    this.#groups.get(address)?.[rank]?.delete(instance)
  }
}

function shownOf(group: Group | undefined): ServiceInstance | undefined {
  for (const known of group ?? []) {
    for (const instance of known ?? []) return instance
  }
  return undefined
}
