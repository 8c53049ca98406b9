import type { IncomingMessage } from 'node:http'
import type { Server } from 'node:net'
import {
  createServiceHost,
  type EtcdRegisterOptions,
  type Registration,
  type Registry,
  type ServerRegistration,
  type ServerState,
} from '@etcd-register/core'
import { appOf, onMounted, tagHandlers } from './tag-handlers.ts'

tagHandlers()

/** A middleware that only calls `next`; it comes with the means to look into the registration. */
export interface EtcdRegisterMiddleware {
  (context: { req: IncomingMessage }, next: () => Promise<unknown>): Promise<unknown>
  /** `undefined` until the server listens. */
  readonly registration: Registration | undefined
  /** For a readiness check: requests are welcome while it is `serving`, whatever becomes of etcd. */
  readonly state: ServerState
  readonly registry: Registry
  /** For a server that cannot be found through the app. */
  attach(server: Server): ServerRegistration
  /** Leaves the roll, and closes the registry unless it is yours. */
  close(): Promise<void>
}

/** Registers the app's server in etcd while it listens. Throws `ERR_INVALID_OPTION`. */
export function etcdRegister(options: EtcdRegisterOptions = {}): EtcdRegisterMiddleware {
  const host = createServiceHost(options)
  host.expectServer()
  const middleware = (context: { req: IncomingMessage }, next: () => Promise<unknown>) => {
    host.attachFrom(context.req)
    return next()
  }
  const serves = (server: Server) =>
    server.listeners('request').some(listener => appOf(listener)?.middleware.includes(middleware))
  // Once for an app that puts it into `middleware` itself, and once it is mounted, since the app may listen already.
  host.attachWhere(serves)
  onMounted(middleware, () => host.attachWhere(serves))
  return Object.defineProperties(Object.assign(middleware, { attach: host.attach, close: host.close }), {
    registration: { get: () => host.registration },
    state: { get: () => host.state },
    registry: { get: () => host.registry },
  }) as unknown as EtcdRegisterMiddleware
}
