import { invalidOption } from '../etcd/support/errors.ts'
import { makeInstance } from '../instance/instance.ts'
import { type ResolvedFormat, rangesOf, writeEntries } from './resolved-format.ts'

/**
 * For writing, where values of two formats side by side would break readers of one: for any name, or for this one, such
 * as `kitex` where that is how all keys of a format begin. Throws `ERR_INVALID_OPTION`.
 */
export function refuseSharedKeys(placed: readonly ResolvedFormat[], name?: string): void {
  const rename = name === undefined ? '' : `, or the service another name than "${name}"`
  for (const [i, one] of placed.entries()) {
    for (const other of placed.slice(i + 1)) {
      const shared = sharedKeys(one, other, name) ?? sharedKeys(other, one, name)
      if (shared === undefined) continue
      const names = `"${one.format.name}" and "${other.format.name}"`
      const advice = `give one of them a "namespace"${rename}`
      const rule = `formats with keys of their own, but ${names} share ${shared}; ${advice}`
      throw invalidOption(
        'format',
        rule,
        placed.map(({ format }) => format.name),
      )
    }
  }
}

/** A key that both write, or a range in which both write and one reads: strangers' values break some readers. */
function sharedKeys(one: ResolvedFormat, other: ResolvedFormat, name = 'orders'): string | undefined {
  const probe = makeInstance({ id: '1', name, protocol: 'http', host: '10.0.0.1', port: 1 }, '')
  const keys = (placed: ResolvedFormat) => writeEntries(placed, probe, '1').map(({ key }) => key)
  const [ours, theirs] = [keys(one), keys(other)]
  const prefixes = rangesOf(one, name).flatMap(range => ('prefix' in range ? range.prefix : []))
  const listed = (prefix: string) => (one.format.listsWithoutSlash ? prefix.slice(0, -1) : prefix)
  const shared =
    prefixes.find(prefix => [ours, theirs].every(some => some.some(key => key.startsWith(listed(prefix))))) ??
    ours.find(key => theirs.includes(key))
  return shared === undefined ? undefined : JSON.stringify(shared)
}
