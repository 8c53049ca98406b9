/** Items in order; an item is found by comparisons whose number grows with the logarithm of the size. */
export class SortedList<T> {
  readonly #compare: (a: T, b: T) => number
  /** The first one is last: what is newest comes first most often, and nothing has to move for it. */
  readonly #items: T[] = []

  /** `compare` is negative where `a` comes first, and 0 for one item only. */
  constructor(compare: (a: T, b: T) => number) {
    this.#compare = compare
  }

  get first(): T | undefined {
    return this.#items.at(-1)
  }

  add(item: T): void {
    this.#items.splice(this.#placeOf(item), 0, item)
  }

  /** It is in the list. */
  remove(item: T): void {
    this.#items.splice(this.#placeOf(item), 1)
  }

  #placeOf(item: T): number {
    let [low, high] = [0, this.#items.length]
    while (low < high) {
      const middle = (low + high) >> 1
      if (this.#compare(this.#items[middle]!, item) > 0) low = middle + 1
      else high = middle
    }
    return low
  }
}
