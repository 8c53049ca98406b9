import { type KeyRange, keyRange, keyText } from './key-range.ts'

const READ = 0
const WRITE = 1

/** `permType`: 0 to read, 1 to write, 2 for both. */
export interface Permission {
  readonly permType: number
  readonly key: Buffer
  readonly range_end: Buffer
}

/** What a request, or a permission, names: here an end that is empty is none, whatever is read then. */
export function permissionRange({ key, range_end }: { key?: Buffer; range_end?: Buffer }): KeyRange {
  return keyRange({ ...(key && { key }), ...(range_end?.length && { range_end }) })
}

/** Whether it names a key, or a range that can have some. */
export function isRange(permission: Permission): boolean {
  const { start, end } = permissionRange(permission)
  return start !== '' && (end === undefined || start < end)
}

/** What somebody with these permissions may read, or write. */
export function grants(
  permissions: readonly Permission[],
  kind: 'read' | 'write',
): (range: KeyRange) => boolean {
  const other = kind === 'read' ? WRITE : READ
  const spans = permissions
    .filter(({ permType }) => permType !== other)
    .map(permission => spanOf(permissionRange(permission)))
    .sort((a, b) => (a.start < b.start ? -1 : 1))
  return wanted => covered(spans, spanOf(wanted))
}

interface Span {
  readonly start: string
  readonly end: string
}

/** One key as the range that holds nothing else. */
const spanOf = ({ start, end }: KeyRange): Span => ({ start, end: end ?? `${start}\0` })

/** Whether the spans together hold all of another one. Of one that ends before it starts, its start is enough. */
function covered(sorted: readonly Span[], wanted: Span): boolean {
  let reached: string | undefined
  for (const { start, end } of sorted) {
    const touches = wanted.start < end && (start <= wanted.start || start < wanted.end)
    if (!touches) continue
    if (start > (reached ?? wanted.start)) return false
    if (reached === undefined || end > reached) reached = end
  }
  return reached !== undefined && reached >= wanted.end
}

/** In the order in which etcd keeps them. */
export function byKey(a: Permission, b: Permission): number {
  const [one, other] = [keyText(a.key), keyText(b.key)]
  return one < other ? -1 : one > other ? 1 : 0
}
