import { EventEmitter } from 'node:events'
import type { Server } from 'node:net'
import {
  createAdapterRuntime,
  type EtcdRegisterOptions,
  type Registration,
  type Registry,
  type ServerRegistration,
  type ServerState,
} from '@etcd-register/core'

/** A middleware that only calls `next`; it comes with the means to look into the registration. */
export interface EtcdRegisterMiddleware {
  (request: unknown, response: unknown, next: () => void): void
  /** `undefined` until the server listens. */
  readonly registration: Registration | undefined
  /** For a readiness check: false from the moment that the app leaves, whatever becomes of etcd. */
  readonly ready: boolean
  readonly state: ServerState
  readonly registry: Registry
  /** For a server that does not have the app itself as its request listener. */
  attach(server: Server): ServerRegistration
  /** Deregisters, and closes the registry unless it is yours. */
  close(): Promise<void>
}

/** As much of an Express app as is needed to find its server. */
interface App {
  parent?: App
  on?(event: 'mount', listener: (parent: App) => void): void
  /** Of Express 4. */
  _router?: Router
  /** Of Express 5; the getter of Express 4 throws. */
  router?: Router
}

interface Router {
  stack?: Layer[]
}

interface Layer {
  handle?: unknown
  /** Of `app.get(path, ...)` and its like: an object with a stack of its own. */
  route?: unknown
}

/** Registers the app's server in etcd while it listens. Throws `ERR_INVALID_OPTION`. */
export function etcdRegister(options: EtcdRegisterOptions = {}): EtcdRegisterMiddleware {
  const host = createAdapterRuntime(options)
  host.expectServer()
  const middleware = (request: unknown, _response: unknown, next: () => void) => {
    host.attachFrom(request)
    next()
  }
  host.attachWhere((_, listeners) => listeners.some(listener => leadsTo(listener, middleware)))
  // Express takes a function with these three for a sub-app: it calls `handle`, and tells it by `mount` where it is.
  const events = new EventEmitter()
  events.on('mount', (app: App) => {
    mountDirectly(app, middleware)
    follow(app)
  })
  /** Through all that the app is mounted in, now or later. */
  function follow(app: App): void {
    host.attachWhere((_, listeners) => lineOf(app).some(candidate => listeners.includes(candidate)))
    for (const candidate of lineOf(app)) candidate.on?.('mount', follow)
  }
  const subApp = {
    handle: (_request: unknown, _response: unknown, next: () => void) => next(),
    set: () => {},
    emit: events.emit.bind(events),
    attach: host.attach,
    close: host.close,
  }
  return Object.defineProperties(Object.assign(middleware, subApp), {
    registration: { get: () => host.registration },
    ready: { get: () => host.ready },
    state: { get: () => host.state },
    registry: { get: () => host.registry },
  }) as unknown as EtcdRegisterMiddleware
}

/** In place of what Express mounts a sub-app with: that sets two prototypes on each request. */
function mountDirectly(app: App, middleware: unknown): void {
  const layer = (app._router ?? app.router)?.stack?.at(-1)
  if (layer !== undefined && Reflect.get(Object(layer.handle), 'name') === 'mounted_app')
    layer.handle = middleware
}

/** Whether the app has it in a router or a route, at any depth. Neither tells when it is mounted, nor where. */
function leadsTo(app: object, middleware: object): boolean {
  const handlers = new Set<unknown>([app])
  for (const handler of handlers) {
    for (const { handle, route } of layersOf(Object(handler))) handlers.add(handle).add(route)
  }
  return handlers.has(middleware)
}

/** Of an app, a router or a route; of other handlers none. */
function layersOf(handler: App & Router): Layer[] {
  try {
    const { stack } = handler.stack ? handler : (handler._router ?? handler.router ?? {})
    return Array.isArray(stack) ? stack.map(Object) : []
  } catch {
    // The getter of an Express 4 that has nothing mounted yet.
    return []
  }
}

/** The app and those that it is mounted in. */
function lineOf(app: App): App[] {
  return app.parent === undefined ? [app] : [app, ...lineOf(app.parent)]
}
