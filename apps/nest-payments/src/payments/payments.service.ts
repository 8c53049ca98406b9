import { HttpStatus, Injectable } from '@nestjs/common'
import { ApiException } from '../api-error.ts'
import type { CreatePaymentDto } from './create-payment.dto.ts'
import { type Payment, PaymentsStore } from './payments.store.ts'

/** In cents. */
const LIMIT = 500_000

@Injectable()
export class PaymentsService {
  constructor(private readonly store: PaymentsStore) {}

  /** An order is paid once, however often it is asked for. */
  pay(wanted: CreatePaymentDto): Payment {
    const { orderId, amount, currency } = wanted
    const before = this.store.ofOrder(orderId)
    if (before !== undefined) {
      if (before.amount === amount && before.currency === currency) return before
      throw new ApiException(
        HttpStatus.CONFLICT,
        'PAID_OTHERWISE',
        `Order ${orderId} is paid, with another amount.`,
      )
    }
    if (amount > LIMIT) {
      throw new ApiException(
        HttpStatus.PAYMENT_REQUIRED,
        'PAYMENT_DECLINED',
        `${amount} is over the limit of ${LIMIT}.`,
      )
    }
    return this.store.add(wanted)
  }

  find(id: string): Payment {
    const payment = this.store.find(id)
    if (payment === undefined)
      throw new ApiException(HttpStatus.NOT_FOUND, 'UNKNOWN_PAYMENT', `There is no payment ${id}.`)
    return payment
  }
}
