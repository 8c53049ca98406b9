import { invalidOption } from '../errors.ts'
import { ID_RULE, type InstanceFields, isId, makeInstance } from '../instance.ts'
import type { Entry, InstanceFormat, KeyRange } from './format.ts'
import { goMicroFormat } from './go-micro.ts'
import { goZeroFormat } from './go-zero.ts'
import { grpcFormat } from './grpc.ts'
import { jsonFormat } from './json.ts'
import { kitexFormat } from './kitex.ts'
import { kratosFormat } from './kratos.ts'
import { plainFormat } from './plain.ts'
import { skydnsFormat } from './skydns.ts'
import { traefikFormat } from './traefik.ts'

export * from './format.ts'

export type FormatName =
  | 'json'
  | 'plain'
  | 'kratos'
  | 'go-zero'
  | 'kitex'
  | 'go-micro'
  | 'grpc'
  | 'skydns'
  | 'traefik'

/** A row for each format that goes by a name. */
export const FACTORIES: Readonly<Record<FormatName, (options?: never) => InstanceFormat>> = {
  json: jsonFormat,
  plain: plainFormat,
  kratos: kratosFormat,
  'go-zero': goZeroFormat,
  kitex: kitexFormat,
  'go-micro': goMicroFormat,
  grpc: grpcFormat,
  skydns: skydnsFormat,
  traefik: traefikFormat,
}

/** With their defaults. */
export const FORMATS = Object.fromEntries(
  Object.entries(FACTORIES).map(([name, factory]) => [name, factory()]),
) as Readonly<Record<FormatName, InstanceFormat>>

export type FormatOption = FormatName | InstanceFormat | readonly (FormatName | InstanceFormat)[]

/** A format, and where its keys begin. */
export interface PlacedFormat {
  readonly format: InstanceFormat
  readonly namespace: string
}

/** The namespace of a registry: a `given` one counts for every format that has none fixed. */
export type RegistryNamespace = { given: string } | { default: string }

/** Each with its place. Throws `ERR_INVALID_OPTION`. */
export function resolveFormats(option: FormatOption, registry: RegistryNamespace): readonly PlacedFormat[] {
  const list = Array.isArray(option) ? (option as unknown[]) : [option]
  const placed = list.map(entry => {
    const format = resolveFormat(entry)
    const one = { format, namespace: placeOf(format, registry) }
    rangesOf(one, PROBE.name)
    checkRoot(one)
    return one
  })
  if (placed.length === 0) throw invalidOption('format', RULE, list)
  return placed
}

function placeOf({ namespace: own }: InstanceFormat, registry: RegistryNamespace): string {
  if (own !== undefined && 'fixed' in own) return own.fixed
  return 'given' in registry ? registry.given : (own ?? registry).default
}

/** etcd takes 128 operations in one transaction. */
const MOST_ENTRIES = 16

const RULE = `one of ${Object.keys(FORMATS).join(', ')}, an InstanceFormat, or a list of these`
const METHODS = ['encode', 'ranges', 'decode', 'root', 'serviceOf'] as const

function resolveFormat(format: unknown): InstanceFormat {
  if (typeof format === 'string' && Object.hasOwn(FORMATS, format)) return FORMATS[format as FormatName]
  const given = format as Partial<InstanceFormat> | null
  if (typeof given !== 'object' || METHODS.some(method => typeof given?.[method] !== 'function')) {
    throw invalidOption('format', RULE, format)
  }
  if (
    typeof given?.name !== 'string' ||
    typeof given.capabilities !== 'object' ||
    given.capabilities === null
  ) {
    throw invalidOption('format', 'an object with a "name" and "capabilities"', format)
  }
  return given as InstanceFormat
}

/** Where a service is found. Throws `ERR_INVALID_OPTION`: a prefix without its slash would bring those of `orders2` to `orders`. */
export function rangesOf({ format, namespace }: PlacedFormat, name: string): readonly KeyRange[] {
  const ranges: unknown = guarded(format, 'ranges', () => format.ranges(name, namespace))
  const good = (range: Partial<{ prefix: unknown; key: unknown }> | null) =>
    typeof range?.key === 'string' || (typeof range?.prefix === 'string' && range.prefix.endsWith('/'))
  if (Array.isArray(ranges) && ranges.every(good)) return ranges
  const rule = `one whose ranges are each a { key } or a { prefix } that ends in "/", but those of "${format.name}" are not`
  throw invalidOption('format', rule, JSON.stringify(ranges))
}

function checkRoot({ format, namespace }: PlacedFormat): void {
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
  formats: readonly PlacedFormat[],
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
  { format, namespace }: PlacedFormat,
  fields: InstanceFields,
  leaseId: string,
): readonly Entry[] {
  const entries: unknown = guarded(format, 'encode', () => format.encode(fields, { namespace, leaseId }))
  if (isEntries(entries)) return entries
  const rule = `one whose encode() gives up to ${MOST_ENTRIES} entries, each with a "key" of its own and a "value", but that of "${format.name}" does not`
  throw invalidOption('format', rule, entries)
}

function isEntries(entries: unknown): entries is readonly Entry[] {
  if (!Array.isArray(entries) || entries.length > MOST_ENTRIES) return false
  const isText = ({ key, value }: Partial<Entry>) => typeof key === 'string' && typeof value === 'string'
  if (!entries.every(entry => typeof entry === 'object' && entry !== null && isText(entry))) return false
  const keys = new Set((entries as Entry[]).map(({ key }) => key))
  return keys.size === entries.length && !keys.has('')
}

function guarded<T>({ name }: InstanceFormat, method: string, run: () => T): T {
  try {
    return run()
  } catch (error) {
    throw invalidOption(
      'format',
      `one that does not throw, but ${method}() of "${name}" did: ${String(error)}`,
      name,
      error,
    )
  }
}

/** For writing, where values of two formats side by side would break readers of one. Throws `ERR_INVALID_OPTION`. */
export function refuseSharedKeys(placed: readonly PlacedFormat[]): void {
  for (const [i, one] of placed.entries()) {
    for (const other of placed.slice(i + 1)) {
      const shared = sharedKeys(one, other) ?? sharedKeys(other, one)
      if (shared === undefined) continue
      const names = `"${one.format.name}" and "${other.format.name}"`
      const rule = `formats with keys of their own, but ${names} share ${shared}; give one of them a "namespace"`
      throw invalidOption(
        'format',
        rule,
        placed.map(({ format }) => format.name),
      )
    }
  }
}

const PROBE = makeInstance({ id: '1', name: 'orders', protocol: 'http', host: '10.0.0.1', port: 1 }, '')

/** A key that both write, or a range in which both write and one reads: strangers' values break some readers. */
function sharedKeys(one: PlacedFormat, other: PlacedFormat): string | undefined {
  const keys = (placed: PlacedFormat) => writeEntries(placed, PROBE, '1').map(({ key }) => key)
  const [ours, theirs] = [keys(one), keys(other)]
  const prefixes = rangesOf(one, PROBE.name).flatMap(range => ('prefix' in range ? range.prefix : []))
  const listed = (prefix: string) => (one.format.listsWithoutSlash ? prefix.slice(0, -1) : prefix)
  const shared =
    prefixes.find(prefix => [ours, theirs].every(some => some.some(key => key.startsWith(listed(prefix))))) ??
    ours.find(key => theirs.includes(key))
  return shared === undefined ? undefined : JSON.stringify(shared)
}
