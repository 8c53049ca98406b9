import { EtcdRegisterError } from '../etcd/support/errors.ts'
import type { ServiceInstance } from '../instance/instance.ts'

/** Who may have keys of its own. */
export interface Claimer {
  readonly instance: ServiceInstance
  /** When its keys are gone; `undefined` while it has them. */
  readonly retired: Promise<void> | undefined
  /** Rejects once etcd has refused to delete them. */
  readonly refused: Promise<never>
}

/** Which registration of a registry has which keys: under one lease, etcd cannot tell them apart. */
export class KeyClaims {
  readonly #holders = new Map<string, Claimer>()

  /** Waits for holders that are leaving; rejects with `ERR_CONFLICT` if one is not, or with why one cannot. */
  async claim(claimer: Claimer, keys: readonly string[]): Promise<void> {
    for (const key of keys) {
      for (let holder = this.#other(key, claimer); holder !== undefined; holder = this.#other(key, claimer)) {
        if (holder.retired === undefined) {
          throw new EtcdRegisterError('ERR_CONFLICT', heldText(key, holder, claimer))
        }
        await Promise.race([holder.retired, holder.refused])
        // Who left meanwhile needs it no more.
        if (claimer.retired !== undefined) return
        if (this.#holders.get(key) === holder) this.#holders.delete(key)
      }
      this.#holders.set(key, claimer)
    }
  }

  release(claimer: Claimer): void {
    for (const [key, holder] of this.#holders) if (holder === claimer) this.#holders.delete(key)
  }

  #other(key: string, claimer: Claimer): Claimer | undefined {
    const holder = this.#holders.get(key)
    return holder === claimer ? undefined : holder
  }
}

function heldText(key: string, holder: Claimer, claimer: Claimer): string {
  if (holder.instance.id === claimer.instance.id)
    return `This registry has a registration under ${key} already; give each an "id" of its own, or deregister the first.`
  const { name, id } = claimer.instance
  return (
    `The registration of "${name}" with id "${id}" would share a key with "${holder.instance.id}", since this format does not ` +
    'take the key from such an id: for go-zero give an "id" that is a number; or deregister the first.'
  )
}
