import { canonicalHost } from '../etcd/support/host.ts'
import type { ServiceInstance } from '../instance/instance.ts'
import { isEligible } from '../instance/instance.ts'
import { SortedList } from './sorted-list.ts'
import { TableChange } from './table-change.ts'

/** Where an instance was found. */
export interface Origin {
  /** Of its format among those that are read. */
  readonly rank: number
  /** create_revision of a key. */
  createdAt(key: string): number
}

/** An instance as it stood when it was taken in. */
interface Member {
  readonly instance: ServiceInstance
  readonly origin: Origin
  readonly created: number
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

  /** What a change of some keys of one origin comes to. Its cost does not depend on how many keys give an address. */
  apply({ added, removed, updated, previous, renewed }: TableChange, origin: Origin): TableChange {
    const touched = new Set<string>()
    for (const instance of [...removed, ...previous, ...renewed])
      this.#touch(touched, instance).remove(instance)
    for (const instance of [...updated, ...added, ...renewed]) {
      this.#touch(touched, instance).add({ instance, origin, created: origin.createdAt(instance.key) })
    }
    const change = new TableChange()
    for (const address of touched) {
      const group = this.#groups.get(address)!
      const { first } = group
      change.note(group.shown, first)
      group.shown = first
      if (first === undefined) this.#groups.delete(address)
    }
    return change
  }

  #touch(touched: Set<string>, instance: ServiceInstance): Group {
    const address = `${canonicalHost(instance.host)}:${instance.port}`
    const group = this.#groups.get(address) ?? new Group()
    this.#groups.set(address, group)
    touched.add(address)
    return group
  }
}

/** What has one address. */
class Group {
  readonly #members = new Map<ServiceInstance, Member>()
  readonly #byId = new Map<string, SortedList<Member>>()
  /** The first one of each id. */
  readonly #speakers = new SortedList<Member>(
    (a, b) => Number(isEligible(b.instance)) - Number(isEligible(a.instance)) || order(a, b),
  )
  /** The one that stands for all. */
  shown: ServiceInstance | undefined

  get first(): ServiceInstance | undefined {
    return this.#speakers.first?.instance
  }

  add(member: Member): void {
    this.#members.set(member.instance, member)
    this.#change(member.instance.id, list => list.add(member))
  }

  remove(instance: ServiceInstance): void {
    const member = this.#members.get(instance)
    if (member === undefined) return
    this.#members.delete(instance)
    this.#change(instance.id, list => list.remove(member))
  }

  #change(id: string, how: (list: SortedList<Member>) => void): void {
    const list = this.#byId.get(id) ?? new SortedList(order)
    const before = list.first
    how(list)
    if (list.first === undefined) this.#byId.delete(id)
    else this.#byId.set(id, list)
    if (list.first === before) return
    if (before !== undefined) this.#speakers.remove(before)
    if (list.first !== undefined) this.#speakers.add(list.first)
  }
}

/** Which one comes first, their status aside. */
function order(a: Member, b: Member): number {
  return (
    a.origin.rank - b.origin.rank ||
    b.created - a.created ||
    byText(a.instance.key, b.instance.key) ||
    byText(a.instance.id, b.instance.id)
  )
}

const byText = (a: string, b: string): number => (a === b ? 0 : a < b ? -1 : 1)
