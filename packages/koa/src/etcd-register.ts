import type { IncomingMessage } from 'node:http'
import type { Server } from 'node:net'
import {
  createAdapterRuntime,
  type EtcdRegisterOptions,
  type Registration,
  type Registry,
  type ServerRegistration,
  type ServerState,
} from '@etcd-register/core'
import type Koa from 'koa'
import { appOf, extendKoa, leadsTo, onMounted } from './koa-apps.ts'

extendKoa()

/** A middleware that only calls `next`; it comes with the means to look into the registration. */
export interface EtcdRegisterMiddleware {
  (context: { req: IncomingMessage }, next: () => Promise<unknown>): Promise<unknown>
  /** `undefined` until the server listens. */
  readonly registration: Registration | undefined
  /** For a readiness check: false from the moment that the app leaves, whatever becomes of etcd. */
  readonly ready: boolean
  readonly state: ServerState
  readonly registry: Registry
  /** For a server that cannot be found through the app. */
  attach(server: Server): ServerRegistration
  /** Deregisters, and closes the registry unless it is yours. */
  close(): Promise<void>
}

/** Registers the app's server in etcd while it listens. Throws `ERR_INVALID_OPTION`. */
export function etcdRegister(options: EtcdRegisterOptions = {}): EtcdRegisterMiddleware {
  extendKoa()
  const host = createAdapterRuntime(options)
  host.expectServer()
  const middleware = (context: { req: IncomingMessage }, next: () => Promise<unknown>) => {
    host.attachFrom(context.req)
    return next()
  }
  const apps = new WeakSet<Koa>()
  const isOurs = (app: Koa) => apps.has(app) || leadsTo(app, middleware)
  const attachOurs = () =>
    host.attachWhere((_, listeners) =>
      listeners.some(listener => {
        const app = appOf(listener)
        return app !== undefined && isOurs(app)
      }),
    )
  // Now for an app that puts it into `middleware` itself, and once it is mounted, since the app may listen already.
  attachOurs()
  onMounted(middleware, app => {
    if (apps.has(app)) return
    // Not by looking into `middleware`: tracers put a function of their own there.
    apps.add(app)
    attachOurs()
  })
  // Koa reads it when it takes a middleware: the last moment for a copy of Koa that was loaded after this call.
  Object.defineProperty(middleware, '_name', { get: () => void extendKoa() })
  return Object.defineProperties(Object.assign(middleware, { attach: host.attach, close: host.close }), {
    registration: { get: () => host.registration },
    ready: { get: () => host.ready },
    state: { get: () => host.state },
    registry: { get: () => host.registry },
  }) as unknown as EtcdRegisterMiddleware
}
