import type { ServiceInstance } from '../instance/instance.ts'

/** One step of a table; `previous` are the `updated` ones as they were. */
export class TableChange {
  readonly added: ServiceInstance[] = []
  readonly removed: ServiceInstance[] = []
  readonly updated: ServiceInstance[] = []
  readonly previous: ServiceInstance[] = []
  /** Nothing changed in them, but their keys were created anew. */
  readonly renewed: ServiceInstance[] = []

  note(before: ServiceInstance | undefined, after: ServiceInstance | undefined): void {
    if (before === after) return
    if (before === undefined) this.added.push(after!)
    else if (after === undefined) this.removed.push(before)
    else {
      this.updated.push(after)
      this.previous.push(before)
    }
  }

  get empty(): boolean {
    return this.added.length + this.removed.length + this.updated.length === 0
  }
}
