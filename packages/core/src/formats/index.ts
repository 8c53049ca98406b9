import { invalidOption } from '../etcd/support/errors.ts'
import { checkFormat } from './check-format.ts'
import type { InstanceFormat } from './format.ts'
import { namespaceFor } from './format-options.ts'
import { goMicroFormat } from './go-micro.ts'
import { goZeroFormat } from './go-zero.ts'
import { grpcFormat } from './grpc.ts'
import { jsonFormat } from './json.ts'
import { kitexFormat } from './kitex.ts'
import { kratosFormat } from './kratos.ts'
import { plainFormat } from './plain.ts'
import { checkRoot, type ResolvedFormat, rangesOf } from './resolved-format.ts'
import { skydnsFormat } from './skydns.ts'
import { traefikFormat } from './traefik.ts'

export * from './format.ts'
export * from './resolved-format.ts'
export { refuseSharedKeys } from './shared-keys.ts'

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

/** The namespace of a registry: a `given` one counts for every format that has none fixed. */
export type RegistryNamespace = { given: string } | { default: string }

/** Each with its place. Throws `ERR_INVALID_OPTION`. */
export function resolveFormats(option: FormatOption, registry: RegistryNamespace): readonly ResolvedFormat[] {
  const list = Array.isArray(option) ? (option as unknown[]) : [option]
  const placed = list.map(entry => {
    const format = resolveFormat(entry)
    const one = { format, namespace: placeOf(format, registry) }
    rangesOf(one, 'orders')
    checkRoot(one)
    return one
  })
  if (placed.length === 0) throw invalidOption('format', RULE, list)
  return placed
}

/**
 * Those that were `asked` for, by default the first one of the registry that can be read. A name is that of one of the
 * registry's own, if there is one, with the options that it was given. Throws `ERR_INVALID_OPTION`.
 */
export function readableFormats(
  own: readonly ResolvedFormat[],
  registry: RegistryNamespace,
  asked?: FormatOption,
): readonly ResolvedFormat[] {
  const readable = ({ format }: ResolvedFormat) => format.capabilities.read
  const ours = (name: unknown) => own.find(({ format }) => format.name === name)?.format ?? name
  const chosen =
    asked === undefined
      ? own.filter(readable).slice(0, 1)
      : resolveFormats((Array.isArray(asked) ? asked.map(ours) : ours(asked)) as FormatOption, registry)
  if (chosen.length > 0 && chosen.every(readable)) return chosen
  const got = asked ?? own.map(({ format }) => format.name)
  throw invalidOption('format', 'one that can be read, such as "json": others are only written', got)
}

function placeOf(format: InstanceFormat, registry: RegistryNamespace): string {
  const { namespace: own } = format
  if (own !== undefined && 'fixed' in own) return own.fixed
  return 'given' in registry ? namespaceFor(format, registry.given) : (own ?? registry).default
}

const RULE = `one of ${Object.keys(FORMATS).join(', ')}, an InstanceFormat, or a list of these`

function resolveFormat(format: unknown): InstanceFormat {
  if (typeof format === 'string' && Object.hasOwn(FORMATS, format)) return FORMATS[format as FormatName]
  if (typeof format !== 'object' || format === null) throw invalidOption('format', RULE, format)
  return checkFormat(format)
}
