import { Router } from 'express'
import type { Logger } from 'pino'
import { z } from 'zod'
import { ApiError } from './errors.ts'
import { placeOrder, type Services } from './place-order.ts'
import type { Store } from './store.ts'

const wanted = z.object({ sku: z.string().min(1), quantity: z.int().min(1).max(1000) })

export function createRoutes(store: Store, services: Services, log: Logger): Router {
  const router = Router()
  router.get('/', (_request, response) => {
    response.json(store.all())
  })
  router.get('/:id', ({ params: { id } }, response) => {
    const order = store.find(id)
    if (order === undefined) throw new ApiError(404, 'UNKNOWN_ORDER', `There is no order ${id}.`)
    response.json(order)
  })
  router.post('/', async (request, response) => {
    const order = await placeOrder(services, wanted.parse(request.body), log)
    response.status(201).location(`/orders/${order.id}`).json(store.add(order))
  })
  return router
}
