import { invalidOption } from '../etcd/support/errors.ts'
import { authority } from '../etcd/support/host.ts'
import {
  defaultId,
  MAX_VALUE_BYTES,
  type ResolvedEntry,
  type ResolvedFormat,
  refuseSharedKeys,
  writeEntries,
} from '../formats/index.ts'
import type { InstanceStatus, ServiceInstance } from '../instance/instance.ts'
import { endpointAt, makeInstance, sameInstance } from '../instance/instance.ts'
import { type Details, type ResolvedService, resolvePatch } from '../instance/service-options.ts'

/** etcd takes 128 operations in one transaction: two to compare each key, and a new lease may move them all. */
const MOST_KEYS = 32

/** What an instance wants to stand in etcd of itself. */
export class InstanceRecord {
  readonly #service: ResolvedService
  readonly #formats: readonly ResolvedFormat[]
  #details: Details
  #host: string
  #id: string
  #instance: ServiceInstance
  status: InstanceStatus = 'up'

  /** Throws `ERR_INVALID_OPTION` if the value is too long, or if two formats share keys. */
  constructor(service: ResolvedService, host: string, formats: readonly ResolvedFormat[]) {
    const { version, zone, weight, metadata } = service
    refuseSharedKeys(formats, service.name)
    this.#service = service
    this.#details = { version, zone, weight, metadata }
    this.#formats = formats
    this.#host = host
    this.#id = this.#idAt(host)
    this.entries()
    this.#instance = makeInstance(this.#fields(), '')
  }

  get host(): string {
    return this.#host
  }

  /** Throws `ERR_INVALID_OPTION`, and then stays as it was. */
  set host(host: string) {
    this.#id = this.#idAt(host)
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

  /** With its key in the first format, which stands also where it has been taken out. The same object if it is equal. */
  instance(leaseId = '0'): ServiceInstance {
    const fields = this.#fields()
    let { key } = this.#instance
    try {
      key = writeEntries(this.#formats[0]!, eligible(fields), leaseId)[0]?.key ?? ''
    } catch {
      // A format of somebody's own that fails now; whoever writes says so.
    }
    const instance = Object.freeze({ ...fields, key })
    if (!sameInstance(instance, this.#instance)) this.#instance = instance
    return this.#instance
  }

  /** Its keys in all formats, whether they are taken out now or not, but for those that have the lease in them. */
  keys(): string[] {
    const fields = eligible(this.#fields())
    const keysUnder = (lease: string) =>
      this.#formats.flatMap(format => writeEntries(format, fields, lease)).map(({ key }) => key)
    const other = new Set(keysUnder('2'))
    return keysUnder('1').filter(key => other.has(key))
  }

  /** Whether this is what stands there, of all that is wanted. */
  has({ key, value, lease }: { key: string; value: Buffer; lease: string }): boolean {
    try {
      return this.entries(lease).some(put => put.key === key && value.equals(Buffer.from(put.value)))
    } catch {
      return false
    }
  }

  /** In each format that can say that it is not to be called, or that need not, since it is. */
  entries(leaseId = '0'): ResolvedEntry[] {
    const fields = this.#fields()
    const { status, weight } = fields
    const entries = this.#formats
      .filter(({ format: { capabilities } }) => status === 'up' || capabilities.status)
      .filter(({ format: { capabilities } }) => weight > 0 || capabilities.weight)
      .flatMap(format => writeEntries(format, fields, leaseId))
    if (entries.length > MOST_KEYS) {
      throw invalidOption('format', `one or more that write up to ${MOST_KEYS} keys together`, entries.length)
    }
    for (const { key, value } of entries) {
      const bytes = Buffer.byteLength(value)
      if (bytes <= MAX_VALUE_BYTES) continue
      const rule = `so small that the value of ${key} has at most ${MAX_VALUE_BYTES} bytes`
      throw invalidOption('metadata', rule, bytes)
    }
    return entries
  }

  #idAt(host: string): string {
    const { id, name, port, idSuffix = '' } = this.#service
    return id ?? defaultId(this.#formats, { name, address: authority(host, port) + idSuffix })
  }

  #fields(): ServiceInstance {
    const { name, port, protocol } = this.#service
    const { status } = this
    const id = this.#id
    const host = this.#host
    const further = this.#service.advertise.map(endpoint => endpointAt(host, endpoint))
    const endpoints = [`${protocol}://${authority(host, port)}`, ...further]
    return makeInstance({ ...this.#details, id, name, host, port, protocol, endpoints, status }, '')
  }
}

/** As it is when it gets traffic. */
function eligible(fields: ServiceInstance): ServiceInstance {
  return Object.freeze({ ...fields, status: 'up', weight: Math.max(1, fields.weight) })
}
