import { randomUUID } from 'node:crypto'
import { ApiError } from './errors.ts'

export interface Item {
  sku: string
  name: string
  /** In cents. */
  price: number
  currency: string
  stock: number
}

interface Reservation {
  id: string
  sku: string
  quantity: number
  amount: number
  currency: string
}

export interface Store {
  items(): Item[]
  item(sku: string): Item | undefined
  /** The same key means the same reservation, however often it is asked for. */
  reserve(key: string, wanted: { sku: string; quantity: number }): Reservation
  /** Gives the stock back; one that is not there, or no longer, is released already. */
  release(id: string): void
}

const SEED: Item[] = [
  { sku: 'keyboard', name: 'Keyboard', price: 4900, currency: 'EUR', stock: 100_000 },
  { sku: 'monitor', name: 'Monitor', price: 59_900, currency: 'EUR', stock: 100 },
  { sku: 'cable', name: 'Cable', price: 700, currency: 'EUR', stock: 0 },
]

/** In memory: each instance has a stock of its own. A real one keeps it in a database that all instances share. */
export function createStore(seed: readonly Item[] = SEED): Store {
  const items = new Map(seed.map(item => [item.sku, { ...item }]))
  const reservations = new Map<string, { key: string; reservation: Reservation }>()
  const byKey = new Map<string, Reservation>()

  return {
    items: () => [...items.values()],
    item: sku => items.get(sku),
    reserve(key, { sku, quantity }) {
      const before = byKey.get(key)
      if (before !== undefined) {
        if (before.sku === sku && before.quantity === quantity) return before
        throw new ApiError(409, 'KEY_REUSED', `The key "${key}" belongs to another reservation.`)
      }
      const item = items.get(sku)
      if (item === undefined) throw new ApiError(422, 'UNKNOWN_ITEM', `There is no item "${sku}".`)
      if (item.stock < quantity) {
        throw new ApiError(409, 'OUT_OF_STOCK', `Of "${sku}" there are ${item.stock}, not ${quantity}.`)
      }
      item.stock -= quantity
      const { price, currency } = item
      const reservation = { id: randomUUID(), sku, quantity, amount: price * quantity, currency }
      byKey.set(key, reservation)
      reservations.set(reservation.id, { key, reservation })
      return reservation
    },
    release(id) {
      const found = reservations.get(id)
      if (found === undefined) return
      reservations.delete(id)
      byKey.delete(found.key)
      items.get(found.reservation.sku)!.stock += found.reservation.quantity
    },
  }
}
