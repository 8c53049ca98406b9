/** Chance that repeats itself for the same seed. */
export interface Chance {
  /** A whole number from 0 to below `limit`. */
  upTo(limit: number): number
  oneOf<T>(list: readonly T[]): T
}

/** Source: mulberry32 by T. Ettinger, public domain. */
export function seededChance(seed: number): Chance {
  let state = seed >>> 0
  const next = () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
  const upTo = (limit: number) => Math.floor(next() * limit)
  return { upTo, oneOf: list => list[upTo(list.length)]! }
}
