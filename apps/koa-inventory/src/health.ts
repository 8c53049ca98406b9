import type { EtcdRegisterMiddleware } from '@etcd-register/koa'
import type { Middleware } from 'koa'

/** For a readiness probe: an instance whose etcd is away still serves, one that leaves wants no more requests. */
export function health(roll: EtcdRegisterMiddleware): Middleware {
  return context => {
    const { registration, registry } = roll
    const leaving = registration?.state === 'closed' || registration?.instance.status === 'leaving'
    context.status = leaving ? 503 : 200
    context.body = {
      status: leaving ? 'leaving' : 'ok',
      registration: registration?.state ?? 'none',
      etcd: registry.status().etcd.connection,
    }
  }
}
