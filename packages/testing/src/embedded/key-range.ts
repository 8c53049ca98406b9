/** Keys are bytes; as text with one character for each byte they compare, and hash, like those. */
export type KeyText = string

export const keyText = (key: Buffer): KeyText => key.toString('latin1')

/** Above every key. */
export const LAST: KeyText = '\u0100'

/** One key where `end` is undefined, else all from `start` up to, but not including, `end`. */
export interface KeyRange {
  readonly start: KeyText
  readonly end: KeyText | undefined
}

/** As requests say it: no end means one key; an end that is empty, or a zero byte, means all that follow. */
export function keyRange({ key, range_end: end }: { key?: Buffer; range_end?: Buffer }): KeyRange {
  const start = key === undefined ? '' : keyText(key)
  if (end === undefined) return { start, end }
  return { start, end: end.length === 0 || (end.length === 1 && end[0] === 0) ? LAST : keyText(end) }
}

export function contains({ start, end }: KeyRange, key: KeyText): boolean {
  return end === undefined ? key === start : key >= start && key < end
}
