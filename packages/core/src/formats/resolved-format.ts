import { EtcdRegisterError, invalidOption } from '../etcd/support/errors.ts'
import { isWellFormed, shown } from '../etcd/support/text.ts'
import type { KeyRange } from '../etcd/watch/key-range.ts'
import { ID_RULE, type InstanceFields, isId } from '../instance/instance.ts'
import type { Entry, InstanceFormat, ResolvedEntry } from './format.ts'

/** A format, and where its keys begin. */
export interface ResolvedFormat {
  readonly format: InstanceFormat
  readonly namespace: string
}

/** Where a service is found. Throws `ERR_INVALID_OPTION`: a prefix without its slash would bring those of `orders2` to `orders`. */
export function rangesOf({ format, namespace }: ResolvedFormat, name: string): readonly KeyRange[] {
  const ranges: unknown = guarded(format, 'ranges', () => format.ranges(name, namespace))
  const good = (range: Partial<{ prefix: unknown; key: unknown }> | null) =>
    typeof range?.key === 'string' || (typeof range?.prefix === 'string' && range.prefix.endsWith('/'))
  const enough = Array.isArray(ranges) && (ranges.length > 0 || !format.capabilities.read)
  if (enough && ranges.every(good)) return ranges
  const rule = `one whose ranges are each a { key } or a { prefix } that ends in "/", at least one where it can be read, but those of "${format.name}" are not`
  throw invalidOption('format', rule, JSON.stringify(ranges))
}

/** Throws `ERR_INVALID_OPTION`. */
export function checkRoot({ format, namespace }: ResolvedFormat): void {
  const root: unknown = guarded(format, 'root', () => format.root(namespace))
  if (typeof root === 'string' && /^$|\/$/.test(root)) return
  throw invalidOption(
    'format',
    `one whose root ends in "/" or is empty, but that of "${format.name}" is not`,
    root,
  )
}

/** The id of an instance that was given none. Throws `ERR_INVALID_OPTION` if the format gives no good one. */
export function defaultId(
  formats: readonly ResolvedFormat[],
  service: { name: string; address: string },
): string {
  const { format } = formats[0]!
  const { defaults = {} } = format
  if (defaults.id === undefined) return service.address
  const id = guarded(format, 'defaults.id', () => defaults.id!(service))
  if (isId(id)) return id
  throw invalidOption('format', `one whose ids are ${ID_RULE}, but one of "${format.name}" is not`, id)
}

/** What a format writes of an instance. Throws `ERR_INVALID_OPTION` if it cannot. */
export function writeEntries(
  { format, namespace }: ResolvedFormat,
  fields: InstanceFields,
  leaseId: string,
): readonly ResolvedEntry[] {
  const entries: unknown = guarded(format, 'encode', () => format.encode(fields, { namespace, leaseId }))
  if (isEntries(entries)) {
    if (format.isAnother === undefined) return entries
    return entries.map(({ key, value }) => ({
      key,
      value,
      isAnother: found => guarded(format, 'isAnother', () => format.isAnother!(found, value)),
    }))
  }
  const rule = `one whose encode() gives entries, each with a "key" of its own and a "value", but that of "${format.name}" does not`
  throw invalidOption('format', rule, entries)
}

function isEntries(entries: unknown): entries is readonly Entry[] {
  if (!Array.isArray(entries)) return false
  const isText = ({ key, value }: Partial<Entry>) => typeof key === 'string' && typeof value === 'string'
  if (!entries.every(entry => typeof entry === 'object' && entry !== null && isText(entry))) return false
  const keys = new Set((entries as Entry[]).map(({ key }) => key))
  return keys.size === entries.length && !keys.has('') && [...keys].every(isWellFormed)
}

/** What a format gives. Throws `ERR_INVALID_OPTION` if it throws. */
export function guarded<T>({ name }: InstanceFormat, method: string, run: () => T): T {
  try {
    return run()
  } catch (error) {
    // One of ours refuses this instance.
    if (error instanceof EtcdRegisterError) throw error
    throw invalidOption(
      'format',
      `one that does not throw, but ${method}() of "${name}" did: ${textOf(error)}`,
      name,
      error,
    )
  }
}

/** Also what is thrown may be anything. */
export function textOf(thrown: unknown): string {
  try {
    return shown(String(thrown))
  } catch {
    return typeof thrown
  }
}
