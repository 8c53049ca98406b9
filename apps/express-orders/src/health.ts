import type { Discovery, EtcdRegisterMiddleware } from '@etcd-register/express'
import type { RequestHandler } from 'express'
import type { Services } from './place-order.ts'

/** For a readiness probe: an instance whose etcd is away still serves, one that leaves wants no more requests. */
export function health(service: EtcdRegisterMiddleware, { inventory, payments }: Services): RequestHandler {
  return (_request, response) => {
    const { ready, registration, registry, state } = service
    response.status(ready ? 200 : 503).json({
      state,
      registration: registration?.state ?? 'none',
      etcd: registry.status().etcd.connection,
      discovery: { inventory: table(inventory), payments: table(payments) },
    })
  }
}

const table = ({ instances, staleSince }: Discovery) => ({ instances: instances.length, staleSince })
