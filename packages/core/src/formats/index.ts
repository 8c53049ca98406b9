import { invalidOption } from '../errors.ts'
import type { InstanceFields } from '../instance.ts'
import type { ServiceInstance } from '../types.ts'
import { jsonFormat } from './json.ts'
import { plainFormat } from './plain.ts'

/** One key and its value, as written. */
export interface Entry {
  key: string
  value: string
}

/** One key and its value, as found. */
export interface RawEntry {
  key: string
  value: Buffer
}

/** All keys that begin with `prefix` (which ends in `/`), or the one `key`. */
export type KeyRange = { prefix: string } | { key: string }

/** The instance, or why there is none in it. */
export type Decoded = { instance: ServiceInstance } | { skip: string }

/** What a format's values can say; what they can't is lost, and said once at registration. */
export interface Capabilities {
  status: boolean
  version: boolean
  zone: boolean
  weight: boolean
  metadata: boolean
}

/**
 * How instances stand in etcd. Pure functions: no I/O, no state, and `decode` never throws, whatever it is given.
 * `namespace` comes without a slash at its end, `''` for none.
 */
export interface InstanceFormat {
  readonly name: string
  readonly capabilities: Capabilities
  /** Keys and values of an instance. Where the format has no status, it is only asked for instances that are `up`. */
  encode(instance: InstanceFields, context: { namespace: string; leaseId: string }): readonly Entry[]
  /** Where the instances of a service are found. */
  ranges(name: string, namespace: string): readonly KeyRange[]
  decode(entry: RawEntry, context: { namespace: string; name: string }): Decoded
  /** Where the instances of all services are found; ends in `/`. */
  root(namespace: string): string
  /** The service that a key belongs to, `undefined` for a key of another kind. */
  serviceOf(key: string, namespace: string): string | undefined
}

/** Longer values are skipped by readers and refused by writers. In bytes. */
export const MAX_VALUE_BYTES = 65_536

export type FormatName = 'json' | 'plain'

const FORMATS: Readonly<Record<FormatName, InstanceFormat>> = { json: jsonFormat(), plain: plainFormat() }

type FormatOption = FormatName | InstanceFormat | (FormatName | InstanceFormat)[]

/** Throws `ERR_INVALID_OPTION`. */
export function resolveFormats(option: FormatOption): readonly InstanceFormat[] {
  const rule = `one of ${Object.keys(FORMATS).join(', ')}, an InstanceFormat, or a list of these without a name twice`
  const list = Array.isArray(option) ? option : [option]
  const formats = list.map(format => {
    if (typeof format === 'string' && Object.hasOwn(FORMATS, format)) return FORMATS[format]
    const methods = ['encode', 'ranges', 'decode', 'root', 'serviceOf'] as const
    if (typeof format !== 'object' || methods.some(method => typeof format?.[method] !== 'function')) {
      throw invalidOption('format', rule, format)
    }
    return format
  })
  if (formats.length === 0 || new Set(formats.map(({ name }) => name)).size < formats.length) {
    throw invalidOption('format', rule, list)
  }
  return formats
}
