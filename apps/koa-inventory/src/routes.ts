import { Router } from '@koa/router'
import { z } from 'zod'
import { ApiError } from './errors.ts'
import type { Store } from './store.ts'

const wanted = z.object({ sku: z.string().min(1), quantity: z.int().min(1).max(1000) })
const headers = z.object({ 'idempotency-key': z.string().min(1).max(200) })

export function createRoutes(store: Store): Router {
  const router = new Router()
  router.get('/items', context => {
    context.body = store.items()
  })
  router.get('/items/:sku', context => {
    const { sku } = context.params
    const item = store.item(sku!)
    if (item === undefined) throw new ApiError(404, 'UNKNOWN_ITEM', `There is no item "${sku}".`)
    context.body = item
  })
  router.post('/reservations', context => {
    const { 'idempotency-key': key } = headers.parse(context.headers)
    context.body = store.reserve(key, wanted.parse(context.request.body))
    context.status = 201
  })
  router.delete('/reservations/:id', context => {
    store.release(context.params.id!)
    context.status = 204
  })
  return router
}
