import { authority } from './address.ts'
import { invalidOption } from './errors.ts'
import { type Entry, type InstanceFormat, MAX_VALUE_BYTES } from './formats/index.ts'
import { makeInstance } from './instance.ts'
import { type Details, type ResolvedService, resolvePatch } from './options.ts'
import type { InstanceStatus, ServiceInstance } from './types.ts'

export interface AdvertisementOptions {
  namespace: string
  formats: readonly InstanceFormat[]
}

/** What an instance wants to stand in etcd of itself. */
export class Advertisement {
  readonly #service: ResolvedService
  readonly #options: AdvertisementOptions
  #details: Details
  #host: string
  status: InstanceStatus = 'up'

  /** Throws `ERR_INVALID_OPTION` if the value is too long. */
  constructor(service: ResolvedService, host: string, options: AdvertisementOptions) {
    const { version, zone, weight, metadata } = service
    this.#service = service
    this.#details = { version, zone, weight, metadata }
    this.#host = host
    this.#options = options
    this.entries()
  }

  set host(host: string) {
    this.#host = host
  }

  /** Throws `ERR_INVALID_OPTION`, and then stays as it was. */
  update(patch: Partial<Details>): void {
    const before = this.#details
    this.#details = resolvePatch(before, patch)
    try {
      this.entries()
    } catch (error) {
      this.#details = before
      throw error
    }
  }

  /** With its key in the first format, which stands also where a status has taken it out. */
  instance(leaseId?: string): ServiceInstance {
    const [first] = this.#encode(this.#options.formats[0]!, this.#fields('up'), leaseId)
    return Object.freeze({ ...this.#fields(this.status), key: first?.key ?? '' })
  }

  /** In each format that can say what the status is, or that need not, since it is `up`. */
  entries(leaseId?: string): Entry[] {
    const fields = this.#fields(this.status)
    const entries = this.#options.formats
      .filter(({ capabilities }) => this.status === 'up' || capabilities.status)
      .flatMap(format => this.#encode(format, fields, leaseId))
    for (const { key, value } of entries) {
      const bytes = Buffer.byteLength(value)
      if (bytes <= MAX_VALUE_BYTES) continue
      const rule = `so small that the value of ${key} has at most ${MAX_VALUE_BYTES} bytes`
      throw invalidOption('metadata', rule, bytes)
    }
    return entries
  }

  #encode(format: InstanceFormat, fields: ServiceInstance, leaseId = '0'): readonly Entry[] {
    return format.encode(fields, { namespace: this.#options.namespace, leaseId })
  }

  #fields(status: InstanceStatus): ServiceInstance {
    const { name, port, protocol, idSuffix = '' } = this.#service
    const { id = authority(this.#host, port) + idSuffix } = this.#service
    return makeInstance({ ...this.#details, id, name, host: this.#host, port, protocol, status }, '')
  }
}
