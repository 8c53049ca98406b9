import { contains, type KeyRange, keyRange, keyText } from './key-range.ts'

const READ = 0
const WRITE = 1

/** `permType`: 0 to read, 1 to write, 2 for both. */
export interface Permission {
  readonly permType: number
  readonly key: Buffer
  readonly range_end: Buffer
}

const rangeOf = ({ key, range_end }: Permission): KeyRange =>
  keyRange(range_end.length === 0 ? { key } : { key, range_end })

/** What somebody with these permissions may read, or write. */
export function grants(
  permissions: readonly Permission[],
  kind: 'read' | 'write',
): (range: KeyRange) => boolean {
  const other = kind === 'read' ? WRITE : READ
  const ranges = permissions.filter(({ permType }) => permType !== other).map(rangeOf)
  return wanted => covered(ranges, wanted)
}

/** Whether the ranges together hold all of another one. */
function covered(ranges: readonly KeyRange[], wanted: KeyRange): boolean {
  if (wanted.end === undefined) return ranges.some(range => contains(range, wanted.start))
  const sorted = ranges.filter(({ end }) => end !== undefined).sort((a, b) => (a.start < b.start ? -1 : 1))
  let reached = wanted.start
  for (const { start, end } of sorted) if (start <= reached && end! > reached) reached = end!
  return reached >= wanted.end
}

/** In the order in which etcd keeps them. */
export function byKey(a: Permission, b: Permission): number {
  const [one, other] = [keyText(a.key), keyText(b.key)]
  return one < other ? -1 : one > other ? 1 : 0
}
