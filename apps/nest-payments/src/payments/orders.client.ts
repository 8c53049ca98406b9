import { type Discovery, InjectDiscovery } from '@etcd-register/nestjs'
import { HttpStatus, Injectable } from '@nestjs/common'
import { ApiException } from '../api-error.ts'

/** Asks an instance of `orders` that is registered. */
@Injectable()
export class OrdersClient {
  constructor(@InjectDiscovery('orders') private readonly orders: Discovery) {}

  async find(id: string): Promise<unknown> {
    const instance = this.orders.pick()
    if (instance === undefined) {
      const text = 'No instance of "orders" is known.'
      throw new ApiException(HttpStatus.SERVICE_UNAVAILABLE, 'SERVICE_UNAVAILABLE', text)
    }
    const signal = AbortSignal.timeout(2000)
    const answer = await fetch(`${instance.endpoints[0]}/orders/${id}`, { signal }).catch(() => undefined)
    if (answer?.status === 404) throw new ApiException(404, 'UNKNOWN_ORDER', `There is no order ${id}.`)
    if (!answer?.ok)
      throw new ApiException(HttpStatus.BAD_GATEWAY, 'SERVICE_FAILED', 'No answer from "orders".')
    return answer.json()
  }
}
