import btree from 'sorted-btree'
import { type KeyRange, type KeyText, LAST } from './key-range.ts'
import type { KeyValue } from './wire.ts'

// A CommonJS module with a default export: loaders disagree on which of the two is the default.
const BTree = btree.default ?? (btree as unknown as typeof btree.default)

/** All states of one key since the last compaction, oldest first; version 0 is what a delete leaves. */
export type History = KeyValue[]

/** Every key there is or was, in order of its bytes, with its history. */
export class KeyIndex {
  readonly #tree = new BTree<KeyText, History>(undefined, (a, b) => (a < b ? -1 : a > b ? 1 : 0))

  add(key: KeyText, state: KeyValue): void {
    const history = this.#tree.get(key)
    if (history === undefined) this.#tree.set(key, [state])
    else history.push(state)
  }

  /** Takes back what was added last to a key. */
  removeLast(key: KeyText): void {
    const history = this.#tree.get(key)
    history?.pop()
    if (history?.length === 0) this.#tree.delete(key)
  }

  /** The key as it was at a revision, if it existed then. */
  get(key: KeyText, revision: number): KeyValue | undefined {
    return stateAt(this.#tree.get(key), revision)
  }

  /** Calls `visit` with what existed in a range at a revision, in order of the keys. */
  each({ start, end }: KeyRange, revision: number, visit: (state: KeyValue) => void): void {
    if (end === undefined) {
      const state = this.get(start, revision)
      if (state !== undefined) visit(state)
    } else if (start < end) {
      this.#tree.forRange(start, end, false, (_key, history) => {
        const state = stateAt(history, revision)
        if (state !== undefined) visit(state)
      })
    }
  }

  /** Calls `visit` with all states up to a revision that are kept, in order of the keys. */
  eachState(revision: number, visit: (state: KeyValue) => void): void {
    this.#tree.forRange('', LAST, false, (_key, history) => {
      for (const state of history.slice(0, indexAt(history, revision) + 1)) visit(state)
    })
  }

  /** Forgets what nobody can read any more at a revision or later. */
  compact(revision: number): void {
    const dead: KeyText[] = []
    this.#tree.forRange('', LAST, false, (key, history) => {
      const kept = indexAt(history, revision)
      if (kept < 0) return
      history.splice(0, history[kept]!.version === 0 ? kept + 1 : kept)
      if (history.length === 0) dead.push(key)
    })
    if (dead.length > 0) this.#tree.deleteKeys(dead)
  }
}

function stateAt(history: History | undefined, revision: number): KeyValue | undefined {
  if (history === undefined) return undefined
  const state = history[indexAt(history, revision)]
  return state === undefined || state.version === 0 ? undefined : state
}

/** Index of the newest state that is not after a revision, or -1; the newest of all is what is mostly asked for. */
function indexAt(history: History, revision: number): number {
  let index = history.length - 1
  if (index < 0 || history[index]!.mod_revision <= revision) return index
  let low = 0
  while (low < index) {
    const middle = (low + index) >>> 1
    if (history[middle]!.mod_revision <= revision) low = middle + 1
    else index = middle
  }
  return low - 1
}
