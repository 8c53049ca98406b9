import { authority, isPort } from '../etcd/support/host.ts'
import { isWellFormed } from '../etcd/support/text.ts'
import type { Allow, ServiceInstance } from '../instance/instance.ts'
import { isName } from '../instance/instance.ts'
import { allowed } from './allowed.ts'
import { decodeInstance } from './decode-instance.ts'
import { type DecodedInstance, type InstanceFormat, MAX_VALUE_BYTES, type RawEntry } from './format.ts'
import { type ResolvedFormat, textOf } from './resolved-format.ts'

/** Under one key. */
const MOST_INSTANCES = 1000

/** What a key has of instances: a list only where the format gives one, since most keys have one. */
export type Found = ServiceInstance | readonly ServiceInstance[] | undefined

export function isList(found: Found): found is readonly ServiceInstance[] {
  return Array.isArray(found)
}

export function countIn(found: Found): number {
  return isList(found) ? found.length : Number(found !== undefined)
}

export function instancesIn(found: Found): readonly ServiceInstance[] {
  if (isList(found)) return found
  return found === undefined ? [] : [found]
}

/** What a key was read as. */
export interface ReadEntry {
  readonly found: Found
  /** Why it is no instance, or part of it is none; `undefined` also where it is not meant to be one. */
  readonly skip?: string
}

const NOTHING: ReadEntry = Object.freeze({ found: undefined })

/** What a format makes of what was found, bounded; never throws, whatever the format does. */
export function readEntry(
  { format, namespace }: ResolvedFormat,
  name: string,
  entry: RawEntry,
  allow?: Allow,
): ReadEntry {
  const { key, value } = entry
  if (!isWellFormed(key)) return skipped('its key is not UTF-8')
  if (value.length > MAX_VALUE_BYTES) return skipped(`longer than ${MAX_VALUE_BYTES} bytes`)
  try {
    const decoded = format.decode({ key, value }, { namespace, name })
    const one = (part: DecodedInstance) => readOne(part, format, name, key, allow)
    return 'instances' in decoded ? readSeveral(decoded.instances, one) : one(decoded)
  } catch (error) {
    return skipped(`format "${format.name}" threw: ${textOf(error)}`)
  }
}

function readOne(
  decoded: DecodedInstance,
  format: InstanceFormat,
  name: string,
  key: string,
  allow: Allow | undefined,
): ReadEntry {
  if ('instance' in decoded) {
    const read = sound(decoded.instance, name, key)
    const last = 'instance' in read && allow !== undefined ? allowed(read.instance, allow) : read
    return 'instance' in last ? { found: last.instance } : skipped(last.skip)
  }
  if ('ignore' in decoded) return NOTHING
  const nothing = `decode() of "${format.name}" gave neither an instance nor a reason`
  return skipped(typeof decoded.skip === 'string' ? decoded.skip : nothing)
}

const skipped = (skip: string): ReadEntry => ({ found: undefined, skip })

function readSeveral(
  decoded: readonly DecodedInstance[],
  readOne: (part: DecodedInstance) => ReadEntry,
): ReadEntry {
  if (decoded.length > MOST_INSTANCES) return skipped(`more than ${MOST_INSTANCES} instances`)
  const found = new Map<string, ServiceInstance>()
  const reasons: string[] = []
  for (const one of decoded) {
    const read = readOne(one)
    if (read.skip !== undefined) reasons.push(read.skip)
    for (const instance of instancesIn(read.found)) {
      if (found.has(instance.id)) reasons.push('an id that another instance of the key has')
      else found.set(instance.id, instance)
    }
  }
  const [reason] = reasons
  const read = found.size > 0 ? { found: [...found.values()] } : NOTHING
  return reason === undefined ? read : { ...read, skip: `${reasons.length} of ${decoded.length}: ${reason}` }
}

/** What is not as `decodeInstance` makes it has still to be checked. */
function sound(instance: ServiceInstance, name: string, key: string): ReturnType<typeof decodeInstance> {
  const { metadata, endpoints, host, port } = instance
  const bare = typeof metadata === 'object' && metadata !== null && Object.getPrototypeOf(metadata) === null
  const frozen = Object.isFrozen(instance) && Object.isFrozen(metadata) && Object.isFrozen(endpoints)
  const made = bare && frozen && Array.isArray(endpoints) && isPort(port)
  if (made && instance.name === name && instance.key === key) return { instance }
  return decodeInstance({ ...instance, name, address: authority(host, port) }, key)
}

/** The service that a key belongs to; never throws, whatever the format does. */
export function readName({ format, namespace }: ResolvedFormat, key: string): string | undefined {
  try {
    const name: unknown = isWellFormed(key) ? format.serviceOf(key, namespace) : undefined
    return isName(name) ? name : undefined
  } catch {
    return undefined
  }
}
