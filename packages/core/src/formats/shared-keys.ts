import { invalidOption } from '../errors.ts'
import { makeInstance } from '../instance.ts'
import { type PlacedFormat, rangesOf, writeEntries } from './placed-format.ts'

/** An instance to try formats with. */
const PROBE = makeInstance({ id: '1', name: 'orders', protocol: 'http', host: '10.0.0.1', port: 1 }, '')

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
