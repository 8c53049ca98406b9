import { authority } from '../address.ts'
import { isName } from '../instance.ts'
import type { ServiceInstance } from '../types.ts'
import { decodeInstance } from './decode-instance.ts'
import { type Decoded, MAX_VALUE_BYTES, type RawEntry } from './format.ts'
import type { PlacedFormat } from './placed-format.ts'

/** What a format makes of what was found, bounded; never throws, whatever the format does. */
export function readEntry({ format, namespace }: PlacedFormat, name: string, entry: RawEntry): Decoded {
  if (entry.value.length > MAX_VALUE_BYTES) return { skip: `longer than ${MAX_VALUE_BYTES} bytes` }
  try {
    const decoded = format.decode({ key: entry.key, value: entry.value }, { namespace, name })
    if ('instance' in decoded) return sound(decoded.instance, name, entry.key)
    return 'ignore' in decoded ? decoded : { skip: String(decoded.skip) }
  } catch (error) {
    return { skip: `format "${format.name}" threw: ${textOf(error)}` }
  }
}

/** What is not frozen is not from `decodeInstance`, so it has still to be checked. */
function sound(instance: ServiceInstance, name: string, key: string): Decoded {
  if (Object(instance) === instance && Object.isFrozen(instance)) return { instance }
  return decodeInstance({ ...instance, name, address: authority(instance.host, instance.port) }, key)
}

/** The service that a key belongs to; never throws, whatever the format does. */
export function readName({ format, namespace }: PlacedFormat, key: string): string | undefined {
  try {
    const name: unknown = format.serviceOf(key, namespace)
    return isName(name) ? name : undefined
  } catch {
    return undefined
  }
}

/** Also what is thrown may be anything. */
function textOf(error: unknown): string {
  try {
    return String(error)
  } catch {
    return typeof error
  }
}
