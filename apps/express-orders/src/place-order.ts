import { randomUUID } from 'node:crypto'
import type { Discovery } from '@etcd-register/express'
import type { Logger } from 'pino'
import { z } from 'zod'
import { call, pick } from './call.ts'
import type { Order } from './store.ts'

const reserved = z.object({ id: z.string(), amount: z.int(), currency: z.string() })
const paid = z.object({ id: z.string() })

export interface Services {
  inventory: Discovery
  payments: Discovery
}

/** Reserves the stock, takes the payment, and gives the stock back if that fails. */
export async function placeOrder(
  { inventory, payments }: Services,
  { sku, quantity }: { sku: string; quantity: number },
  log: Logger,
): Promise<Order> {
  const id = randomUUID()
  // Both before anything is done.
  const warehouse = pick(inventory)
  const till = pick(payments)

  const reserve = {
    method: 'POST',
    path: '/reservations',
    body: { sku, quantity },
    headers: { 'idempotency-key': id },
  }
  const reservation = await call(inventory, warehouse, reserve, log)
  const { id: reservationId, amount, currency } = reserved.parse(reservation.body)
  try {
    // An order is paid once, so that this may come twice as well.
    const pay = { method: 'POST', path: '/payments', body: { orderId: id, amount, currency } }
    const { body } = await call(payments, till, pay, log)
    return { id, sku, quantity, amount, currency, reservationId, paymentId: paid.parse(body).id }
  } catch (error) {
    // Where no answer came, the payment may have been taken all the same: a real one has it cancelled as well.
    const release = { method: 'DELETE', path: `/reservations/${reservationId}` }
    await call(inventory, reservation.instance, release, log).catch(err => {
      log.error({ err, reservationId }, 'the stock could not be given back')
    })
    throw error
  }
}
