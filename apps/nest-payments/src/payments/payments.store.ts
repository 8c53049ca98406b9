import { randomUUID } from 'node:crypto'
import { Injectable } from '@nestjs/common'
import type { CreatePaymentDto } from './create-payment.dto.ts'

export interface Payment extends CreatePaymentDto {
  id: string
}

/** In memory: each instance has payments of its own. A real one keeps them in a database that all instances share. */
@Injectable()
export class PaymentsStore {
  readonly #byId = new Map<string, Payment>()
  readonly #byOrder = new Map<string, Payment>()

  find(id: string): Payment | undefined {
    return this.#byId.get(id)
  }

  ofOrder(orderId: string): Payment | undefined {
    return this.#byOrder.get(orderId)
  }

  add({ orderId, amount, currency }: CreatePaymentDto): Payment {
    const payment = { id: randomUUID(), orderId, amount, currency }
    this.#byId.set(payment.id, payment)
    this.#byOrder.set(orderId, payment)
    return payment
  }
}
