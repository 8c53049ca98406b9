import { EtcdRegisterError } from '../etcd/support/errors.ts'
import type { ServiceInstance } from '../instance/instance.ts'

/** Who may have keys of its own. */
export interface Claimer {
  readonly instance: ServiceInstance
}

/** Which registration of a registry has which keys: two with the same ones would take them from each other. */
export class KeyClaims {
  readonly #holders = new Map<string, Claimer>()

  /** Throws `ERR_CONFLICT` if another one holds a key, and then claims none. */
  claim(claimer: Claimer, keys: readonly string[]): void {
    for (const key of keys) {
      const holder = this.#holders.get(key) ?? claimer
      if (holder !== claimer) throw new EtcdRegisterError('ERR_CONFLICT', heldText(key, holder, claimer))
    }
    for (const key of keys) this.#holders.set(key, claimer)
  }

  release(claimer: Claimer): void {
    for (const [key, holder] of this.#holders) if (holder === claimer) this.#holders.delete(key)
  }
}

function heldText(key: string, holder: Claimer, claimer: Claimer): string {
  if (holder.instance.id === claimer.instance.id)
    return `This registry has a registration under ${key} already; give each an "id" of its own, or deregister the first.`
  return `The registration with id "${claimer.instance.id}" would share ${key} with that of "${holder.instance.id}"; give each an "id" that makes keys of its own, or deregister the first.`
}
