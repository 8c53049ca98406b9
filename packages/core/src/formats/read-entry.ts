import { authority } from '../address.ts'
import { isName, isPort } from '../instance.ts'
import type { ServiceInstance } from '../types.ts'
import { decodeInstance } from './decode-instance.ts'
import { type Decoded, MAX_VALUE_BYTES, type RawEntry } from './format.ts'
import { type PlacedFormat, textOf } from './placed-format.ts'

/** What a format makes of what was found, bounded; never throws, whatever the format does. */
export function readEntry({ format, namespace }: PlacedFormat, name: string, entry: RawEntry): Decoded {
  if (entry.value.length > MAX_VALUE_BYTES) return { skip: `longer than ${MAX_VALUE_BYTES} bytes` }
  try {
    const decoded = format.decode({ key: entry.key, value: entry.value }, { namespace, name })
    if ('instance' in decoded) return sound(decoded.instance, name, entry.key)
    if ('ignore' in decoded) return decoded
    const nothing = `decode() of "${format.name}" gave neither an instance nor a reason`
    return { skip: typeof decoded.skip === 'string' ? decoded.skip : nothing }
  } catch (error) {
    return { skip: `format "${format.name}" threw: ${textOf(error)}` }
  }
}

/** What is not as `decodeInstance` makes it has still to be checked. */
function sound(instance: ServiceInstance, name: string, key: string): Decoded {
  const { metadata, endpoints, host, port } = instance
  const bare = typeof metadata === 'object' && metadata !== null && Object.getPrototypeOf(metadata) === null
  const frozen = Object.isFrozen(instance) && Object.isFrozen(metadata) && Object.isFrozen(endpoints)
  const made = bare && frozen && Array.isArray(endpoints) && isPort(port)
  if (made && instance.name === name && instance.key === key) return { instance }
  return decodeInstance({ ...instance, name, address: authority(host, port) }, key)
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
