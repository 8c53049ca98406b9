import { EtcdRegisterError, invalidOption, kindOf } from './errors.ts'
import { quoted } from './text.ts'

/** What to use for a name that other libraries have, or that we had. The first name that is known there counts. */
const MEANT: Readonly<Record<string, readonly [name: string, text: string][]>> = {
  endpoints: [
    ['advertise', 'The addresses of etcd are "hosts"; further addresses of this service are "advertise".'],
    ['hosts', 'The addresses of etcd are "hosts".'],
  ],
  hosts: [
    [
      'advertise',
      'The addresses of etcd are given to the registry; further addresses of this service are "advertise".',
    ],
  ],
  password: [['auth', 'The user of etcd is "auth": { username, password }.']],
  username: [['auth', 'The user of etcd is "auth": { username, password }.']],
  credentials: [['tls', 'The certificates are "tls": { ca, cert, key }.']],
  ca: [['tls', 'The certificates are "tls": { ca, cert, key }.']],
  prefix: [['namespace', 'The root of the keys is "namespace".']],
  address: [['host', 'The address of this service is "host".']],
  tags: [['metadata', 'Further properties of an instance are "metadata".']],
}

/** Throws `ERR_INVALID_OPTION` for what is no object, and for a name that is not one of those known. */
export function checkNames(what: string, options: object, known: readonly string[]): void {
  if (typeof options !== 'object' || options === null || Array.isArray(options))
    throw invalidOption(what, 'an object', kindOf(options))
  const unknown = Object.keys(options).find(name => !known.includes(name))
  if (unknown === undefined) return
  throw new EtcdRegisterError(
    'ERR_INVALID_OPTION',
    `Unknown option ${quoted(unknown)}${advice(what, unknown, known)}`,
  )
}

function advice(what: string, unknown: string, known: readonly string[]): string {
  const meant = Object.hasOwn(MEANT, unknown)
    ? MEANT[unknown]!.find(([name]) => known.includes(name))
    : undefined
  if (meant !== undefined) return `. ${meant[1]}`
  const near = nearest(unknown, known)
  return near === undefined ? `: the ${what} are ${known.join(', ')}.` : `; did you mean "${near}"?`
}

/** The name that is a third of its characters away at most. */
function nearest(unknown: string, known: readonly string[]): string | undefined {
  const [best] = known
    .map(name => ({ name, distance: distance(unknown.toLowerCase(), name.toLowerCase()) }))
    .filter(({ name, distance }) => distance <= name.length / 3)
    .sort((a, b) => a.distance - b.distance)
  return best?.name
}

/**
 * How many characters to insert, delete, replace or swap with the next, to make one text of the other (optimal string
 * alignment: https://en.wikipedia.org/wiki/Damerau-Levenshtein_distance).
 */
function distance(a: string, b: string): number {
  if (Math.abs(a.length - b.length) > b.length) return Number.POSITIVE_INFINITY
  let before: number[] = []
  let above = Array.from({ length: b.length + 1 }, (_, j) => j)
  for (let i = 1; i <= a.length; i += 1) {
    const row = [i]
    for (let j = 1; j <= b.length; j += 1) {
      const replaced = above[j - 1]! + Number(a[i - 1] !== b[j - 1])
      const swaps = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]
      const swapped = swaps ? before[j - 2]! + 1 : replaced
      row.push(Math.min(above[j]! + 1, row[j - 1]! + 1, replaced, swapped))
    }
    before = above
    above = row
  }
  return above[b.length]!
}
