import { type EtcdOptions, type ResolvedEtcdOptions, resolveEtcdOptions } from '../etcd/options/options.ts'
import { invalidOption } from '../etcd/support/errors.ts'
import { checkNames } from '../etcd/support/option-names.ts'
import { checkedNamespace } from '../formats/format-options.ts'
import {
  type FormatName,
  type InstanceFormat,
  type RegistryNamespace,
  type ResolvedFormat,
  refuseSharedKeys,
  resolveFormats,
} from '../formats/index.ts'
import type { Allow } from '../instance/instance.ts'

/** How to reach etcd, and the defaults of everything that this registry registers. */
export interface RegistryOptions extends EtcdOptions {
  /** Root of the keys, default `/services`, or what a format of another registry has; `/` or `''` means none. */
  namespace?: string | undefined
  /**
   * Lease time in whole seconds, at least 2: how long a crashed instance stays registered. Default 10, or what the
   * `format` of another registry has.
   */
  ttl?: number | undefined
  /** How instances are written, default `'json'`. Several register under each; the first one that can be read is. */
  format?: FormatName | InstanceFormat | (FormatName | InstanceFormat)[] | undefined
  /**
   * Which of the endpoints that others put into etcd may be called, such as `({ host }) => host !== '169.254.169.254'`.
   * The rest is left out of each instance that is discovered; one that has nothing left, or for which it throws or gives
   * anything but `true` and `false`, is skipped with one warning. Names are not resolved: what a name stands for is for
   * the one who calls to check. Default: all of them.
   */
  allow?: Allow | undefined
}

/** Everything decided; what is built on it knows no default of a registry or a service. */
export interface ResolvedOptions extends ResolvedEtcdOptions {
  namespace: RegistryNamespace
  ttl: number
  formats: readonly ResolvedFormat[]
  allow: Allow | undefined
}

export const REGISTRY_OPTIONS: readonly (keyof RegistryOptions)[] = [
  'hosts',
  'auth',
  'tls',
  'namespace',
  'ttl',
  'format',
  'allow',
  'requestTimeout',
  'logger',
]

export function optionsNamed<Options extends object>(names: readonly string[], options: Options): Options {
  return Object.fromEntries(Object.entries(options).filter(([name]) => names.includes(name))) as Options
}

/** Throws `ERR_INVALID_OPTION` for the first option that breaks its rule. A variable that is empty counts as not set. */
export function resolveOptions(
  options: RegistryOptions = {},
  environment: NodeJS.ProcessEnv = process.env,
): ResolvedOptions {
  checkNames('options', options, REGISTRY_OPTIONS)
  const { allow } = options
  const given = options.namespace
  const namespace: RegistryNamespace =
    given === undefined ? { default: '/services' } : { given: given === '/' ? '' : checkedNamespace(given) }
  const formats = resolveFormats(options.format ?? 'json', namespace)
  refuseSharedKeys(formats)
  const { ttl = formats[0]!.format.defaults?.ttl ?? 10 } = options
  if (!Number.isInteger(ttl) || ttl < 2 || ttl > 86_400) {
    throw invalidOption('ttl', 'a whole number of seconds from 2 to 86400', ttl)
  }
  if (allow !== undefined && typeof allow !== 'function') throw invalidOption('allow', 'a function', allow)
  return { ...resolveEtcdOptions(options, environment), namespace, ttl, formats, allow }
}
