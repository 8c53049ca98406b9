import { invalidOption } from '../etcd/support/errors.ts'
import type { InstanceFormat } from './format.ts'

const METHODS = ['encode', 'ranges', 'decode', 'root', 'serviceOf'] as const
const CAPABILITIES = ['read', 'status', 'version', 'zone', 'weight', 'metadata', 'endpoints'] as const

type Given = { readonly [name: string]: unknown }

/** What somebody of JavaScript may have written. Throws `ERR_INVALID_OPTION` for the first part that is not as it must be. */
export function checkFormat(format: object): InstanceFormat {
  const { name, capabilities, namespace = { default: '' }, defaults = {}, keepsSlash } = format as Given
  if (METHODS.some(method => typeof (format as Given)[method] !== 'function') || typeof name !== 'string')
    throw invalidOption('format', `an InstanceFormat: a "name", and functions ${METHODS.join(', ')}`, format)
  const check = (good: boolean, part: string, rule: string, value: unknown) => {
    if (!good)
      throw invalidOption('format', `one whose ${part} is ${rule}, but that of "${name}" is not`, value)
  }
  check(isObject(capabilities), 'capabilities', `an object of ${CAPABILITIES.join(', ')}`, capabilities)
  const { protocol = true, hostNames = true, reserved = [], ...others } = capabilities as Given
  for (const capability of CAPABILITIES) {
    const value = others[capability]
    const good = typeof value === 'boolean' || (capability === 'weight' && typeof value === 'function')
    check(good, `capabilities.${capability}`, 'true or false', value)
  }
  check(
    ['boolean', 'string', 'function'].includes(typeof protocol),
    'capabilities.protocol',
    'true, false, a URL scheme or a function',
    protocol,
  )
  check(typeof hostNames === 'boolean', 'capabilities.hostNames', 'true or false', hostNames)
  check(isNames(reserved), 'capabilities.reserved', 'a list of names', reserved)
  const place = isObject(namespace) && (namespace.fixed ?? namespace.default)
  check(keepsSlash === undefined || keepsSlash === true, 'keepsSlash', 'true, or left out', keepsSlash)
  check(
    isPlace(place) || (keepsSlash === true && typeof place === 'string'),
    'namespace',
    '{ fixed } or { default }, a string without a slash at its end',
    place,
  )
  const { isAnother } = format as Given
  check(
    isAnother === undefined || typeof isAnother === 'function',
    'isAnother',
    'a function, or left out',
    isAnother,
  )
  check(isObject(defaults), 'defaults', 'an object', defaults)
  const { ttl = 10, drainDelay = 0, id = () => '' } = defaults as Given
  check(Number.isInteger(ttl) && Number(ttl) >= 2, 'defaults.ttl', 'a whole number of seconds from 2 on', ttl)
  check(
    Number.isInteger(drainDelay) && Number(drainDelay) >= 0 && Number(drainDelay) <= 300_000,
    'defaults.drainDelay',
    'a whole number of milliseconds from 0 to 300000',
    drainDelay,
  )
  check(typeof id === 'function', 'defaults.id', 'a function', id)
  return format as InstanceFormat
}

const isObject = (value: unknown): value is Given =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const isNames = (value: unknown): boolean =>
  Array.isArray(value) && value.every(name => typeof name === 'string')

/** A slash alone is that of keys which begin with one and are else bare. */
const isPlace = (value: unknown): boolean =>
  typeof value === 'string' && (value === '/' || !value.endsWith('/'))
