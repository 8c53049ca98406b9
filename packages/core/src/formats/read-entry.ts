import { isName } from '../instance.ts'
import { type Decoded, MAX_VALUE_BYTES, type RawEntry } from './format.ts'
import type { PlacedFormat } from './index.ts'

/** What a format makes of what was found, bounded; never throws, whatever the format does. */
export function readEntry({ format, namespace }: PlacedFormat, name: string, entry: RawEntry): Decoded {
  if (entry.value.length > MAX_VALUE_BYTES) return { skip: `longer than ${MAX_VALUE_BYTES} bytes` }
  try {
    const decoded = format.decode({ key: entry.key, value: entry.value }, { namespace, name })
    return 'instance' in decoded || 'ignore' in decoded ? decoded : { skip: String(decoded.skip) }
  } catch (error) {
    return { skip: `format "${format.name}" threw: ${textOf(error)}` }
  }
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
