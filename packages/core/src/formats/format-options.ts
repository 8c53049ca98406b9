import { invalidOption } from '../etcd/support/errors.ts'
import { checkNames } from '../etcd/support/option-names.ts'
import { isProtocol } from '../instance/instance.ts'
import type { InstanceFormat } from './format.ts'

/** The options of a factory, whose names are those of `known`. Throws `ERR_INVALID_OPTION`. */
export function checkedOptions<Options extends object>(
  factory: string,
  options: Options,
  known: readonly (keyof Options & string)[],
): Options {
  checkNames(`options of ${factory}`, options, known)
  return options
}

/** As it is given; `''` for none. Throws `ERR_INVALID_OPTION`. */
export function checkedNamespace(namespace: unknown): string {
  if (typeof namespace === 'string' && !/[\p{Cc}\p{Cs}]|\/\//u.test(namespace)) return namespace
  const rule = 'a string without control characters and empty parts, such as "/services"'
  throw invalidOption('namespace', rule, namespace)
}

/** The namespace that a format is called with, which keeps a slash at its end only where its other readers do. */
export function namespaceFor({ keepsSlash }: Pick<InstanceFormat, 'keepsSlash'>, given: string): string {
  return keepsSlash ? given : given.replace(/\/$/, '')
}

/** Of a format that has a root of its own, and an option for it. Throws `ERR_INVALID_OPTION`. */
export function ownNamespace(
  option: string | undefined,
  byDefault: string,
): NonNullable<InstanceFormat['namespace']> {
  return fixedNamespace(option).namespace ?? { default: byDefault }
}

/** Of a format that has the registry's, unless its option says another. Throws `ERR_INVALID_OPTION`. */
export function fixedNamespace(option: string | undefined): Pick<InstanceFormat, 'namespace'> {
  return option === undefined ? {} : { namespace: { fixed: namespaceFor({}, checkedNamespace(option)) } }
}

/** Of a format whose other readers put a slash after whatever they were given. Throws `ERR_INVALID_OPTION`. */
export function slashedNamespace(
  option: string | undefined,
  byDefault: string,
): Required<Pick<InstanceFormat, 'namespace' | 'keepsSlash'>> {
  const namespace = option === undefined ? { default: byDefault } : { fixed: checkedNamespace(option) }
  return { namespace, keepsSlash: true }
}

/** Of a format whose keys begin without a slash unless the user has one: `/` is that one. Throws `ERR_INVALID_OPTION`. */
export function bareNamespace(option: string | undefined): NonNullable<InstanceFormat['namespace']> {
  return option === '/' ? { fixed: '/' } : ownNamespace(option, '')
}

/** Of a format whose readers look where their own configuration says, whatever a registry has. Throws `ERR_INVALID_OPTION`. */
export function separateNamespace(
  option: string | undefined,
  byDefault: string,
): NonNullable<InstanceFormat['namespace']> {
  return fixedNamespace(option ?? byDefault).namespace!
}

/** Throws `ERR_INVALID_OPTION`. */
export function trueOrFalse(option: string, value: unknown): boolean {
  if (typeof value === 'boolean') return value
  throw invalidOption(option, 'true or false', value)
}

/** Throws `ERR_INVALID_OPTION`. */
export function ownProtocol(protocol: unknown): string {
  if (isProtocol(protocol)) return protocol
  throw invalidOption('protocol', 'a URL scheme such as "http"', protocol)
}

/** Throws `ERR_INVALID_OPTION`. */
export function wholeNumber(option: string, value: unknown, least: number, most: number): number {
  if (Number.isInteger(value) && (value as number) >= least && (value as number) <= most)
    return value as number
  throw invalidOption(option, `a whole number from ${least} to ${most}`, value)
}
