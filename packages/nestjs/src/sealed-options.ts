import type { EtcdModuleOptions } from './etcd.interfaces.ts'

/**
 * The options as they stand in a module and in the container of the app, which tools of Nest print: they can hold a
 * password and a private key, so that neither `util.inspect` nor `JSON.stringify` shows any of them.
 */
export class SealedOptions {
  readonly #options: EtcdModuleOptions

  constructor(options: EtcdModuleOptions) {
    this.#options = options
  }

  open(): EtcdModuleOptions {
    return this.#options
  }
}
