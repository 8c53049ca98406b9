import type { EtcdRegisterMiddleware } from '@etcd-register/koa'
import type { Middleware } from 'koa'

/** For a readiness probe: an instance whose etcd is away still serves, one that leaves wants no more requests. */
export function health(service: EtcdRegisterMiddleware): Middleware {
  return context => {
    const { ready, registration, registry, state } = service
    context.status = ready ? 200 : 503
    context.body = {
      state,
      registration: registration?.state ?? 'none',
      etcd: registry.status().etcd.connection,
    }
  }
}
