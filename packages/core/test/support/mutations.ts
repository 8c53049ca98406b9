import type { Chance } from './seeded-chance.ts'

/** JSON text, since an object of ours could not have a member twice, or `__proto__` as its own. */
type Members = (size: number) => string[]

const numbered = (size: number, member: (i: number) => string): string[] =>
  Array.from({ length: size }, (_, i) => member(i))

/** What is put into an object, `size` times. */
export const MEMBERS: Record<string, Members> = {
  'many nulls': size => numbered(size, i => `"n${i}":null`),
  'many strings': size => numbered(size, i => `"s${i}":"v"`),
  'many numbers as names': size => numbered(size, i => `"${i * 7919}":null`),
  'many objects': size => numbered(size, i => `"o${i}":{}`),
  'one name many times': size => numbered(size, i => `"weight":"${i}"`),
  'one name in many cases': size => numbered(size, i => `"${inCase('metadataaddrop', i)}":null`),
  'names with a meaning': size =>
    numbered(
      size,
      i => `"${['__proto__', 'constructor', 'toString', 'then'][i % 4]}":${i % 2 ? 'null' : '{}'}`,
    ),
}

/** What stands in place of any value. */
export const VALUES: Record<string, (size: number) => string> = {
  ...Object.fromEntries(
    Object.entries(MEMBERS).map(([kind, members]) => [
      `an object of ${kind}`,
      (size: number) => `{${members(size).join()}}`,
    ]),
  ),
  'a long string': size => JSON.stringify('x'.repeat(8 * size)),
  'a long string of one more kind at its end': size => JSON.stringify(`${'a-'.repeat(4 * size)}\u0001`),
  'a long host': size => JSON.stringify(`http://${'a.'.repeat(4 * size)}:80`),
  'digits without end': size => JSON.stringify('9'.repeat(8 * size)),
  'a number without end': size => '9'.repeat(8 * size),
  'lists in lists': size => '['.repeat(4 * size) + ']'.repeat(4 * size),
  'objects in objects': size => `${'{"a":'.repeat(size)}1${'}'.repeat(size)}`,
  'a list of nulls': size => `[${Array(size).fill('null').join()}]`,
  'a list of objects': size => `[${Array(size).fill('{"id":"x","address":"y"}').join()}]`,
  'a list of URLs': size => `[${numbered(size, i => `"http://10.0.0.1:${i + 1}"`).join()}]`,
  'a number': () => '7',
  true: () => 'true',
  'an object with methods': () => '{"toString":1,"valueOf":null,"length":-1}',
}

const inCase = (name: string, bits: number): string =>
  [...name].map((letter, i) => ((bits >> i) & 1 ? letter.toUpperCase() : letter)).join('')

/** All places in a value of JSON, each a path of member names. */
export function placesIn(value: unknown, path: readonly string[] = []): (readonly string[])[] {
  if (typeof value !== 'object' || value === null) return [path]
  return [path, ...Object.entries(value).flatMap(([name, inner]) => placesIn(inner, [...path, name]))]
}

/** JSON of `value` with `text` at a place. */
export function withValueAt(value: unknown, [name, ...rest]: readonly string[], text: string): string {
  if (name === undefined) return text
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).map(([member, inner]) => {
    const json = member === name ? withValueAt(inner, rest, text) : JSON.stringify(inner)
    return Array.isArray(value) ? json : `${JSON.stringify(member)}:${json}`
  })
  return Array.isArray(value) ? `[${members.join()}]` : `{${members.join()}}`
}

/** JSON of `value` with more members in the object at a place, before or after its own; `undefined` where it is no object. */
export function withMembersAt(
  value: unknown,
  path: readonly string[],
  members: readonly string[],
  last: boolean,
): string | undefined {
  const inner = path.reduce<unknown>((at, name) => (at as Record<string, unknown>)[name], value)
  if (typeof inner !== 'object' || inner === null || Array.isArray(inner)) return undefined
  const own = Object.entries(inner).map(([name, held]) => `${JSON.stringify(name)}:${JSON.stringify(held)}`)
  const all = last ? [...own, ...members] : [...members, ...own]
  return withValueAt(value, path, `{${all.join()}}`)
}

/** One change somewhere in a value, and the same one at any size. */
export function mutationOf(value: unknown, chance: Chance): { kind: string; at(size: number): string } {
  const path = chance.oneOf(placesIn(value))
  const last = chance.upTo(2) === 1
  const kind = chance.oneOf(Object.keys(chance.upTo(2) === 1 ? MEMBERS : VALUES))
  const at = (size: number) =>
    (kind in MEMBERS ? withMembersAt(value, path, MEMBERS[kind]!(size), last) : undefined) ??
    withValueAt(value, path, (VALUES[kind] ?? VALUES[`an object of ${kind}`])!(size))
  return { kind: `${kind} at /${path.join('/')}`, at }
}
