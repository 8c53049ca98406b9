export interface Order {
  id: string
  sku: string
  quantity: number
  /** In cents. */
  amount: number
  currency: string
  reservationId: string
  paymentId: string
}

export interface Store {
  all(): Order[]
  find(id: string): Order | undefined
  add(order: Order): Order
}

/** In memory: each instance has orders of its own. A real one keeps them in a database that all instances share. */
export function createStore(): Store {
  const orders = new Map<string, Order>()
  return {
    all: () => [...orders.values()],
    find: id => orders.get(id),
    add(order) {
      orders.set(order.id, order)
      return order
    },
  }
}
