import type { RequestListener } from 'node:http'
import Module from 'node:module'
import Koa from 'koa'

const EXTENDED: unique symbol = Symbol.for('etcd-register.koa.extended')
const APP: unique symbol = Symbol.for('etcd-register.koa.app')
const MOUNTED: unique symbol = Symbol.for('etcd-register.koa.mounted')

type Class = Koa & { [EXTENDED]?: true }

/** A middleware that wants to know when an app takes it. */
interface Mountable {
  [MOUNTED]?: (app: Koa) => void
}

/** A request listener that Koa made. */
interface Handler {
  [APP]?: Koa
}

/** Where Koa has its class, whatever the name that it is installed under. */
const KOA_FILE = /[\\/]lib[\\/]application\.js$/

/** Extends the class of each copy of Koa that is loaded by now: the app may have another one than this package. */
export function extendKoa(): void {
  extend(Koa.prototype)
  // Not imported by name: webpack replaces the call of an imported `createRequire` by `undefined`.
  for (const [file, module] of Object.entries(Module.createRequire(process.execPath).cache ?? {})) {
    const exported: unknown = KOA_FILE.test(file) ? module?.exports : undefined
    if (typeof exported === 'function' && isKoa(exported.prototype)) extend(exported.prototype)
  }
}

function isKoa(prototype: Partial<Koa> | undefined): prototype is Koa {
  const methods = [prototype?.use, prototype?.callback, prototype?.createContext]
  return methods.every(method => typeof method === 'function')
}

/**
 * Neither a middleware nor a request listener leads to the app in Koa: `callback()` notes the app on the listener that it
 * makes, and `use()` tells the middleware.
 */
function extend(prototype: Class): void {
  if (prototype[EXTENDED]) return
  define(prototype, EXTENDED, true)
  const { use, callback } = prototype
  attend(prototype, () => ({ use, callback }))
  // Tracers wrap the methods of the class as well, also after this; so each new app gets the two for its own, which call
  // those of its class as they are then. The constructor of Koa sets `middleware`, and so comes here.
  Object.defineProperty(prototype, 'middleware', {
    configurable: true,
    set(this: Koa, middleware: Koa['middleware']) {
      const attributes = { writable: true, enumerable: true, configurable: true }
      Object.defineProperty(this, 'middleware', { value: middleware, ...attributes })
      attend(this, app => Object.getPrototypeOf(app))
    },
  })
}

/** `below`: has the methods that do the work. */
function attend(target: Koa, below: (app: Koa) => Pick<Koa, 'use' | 'callback'>): void {
  define(target, 'use', function use(this: Koa, ...args: [Koa.Middleware & Mountable]): unknown {
    const result = below(this).use.apply(this, args)
    args[0]?.[MOUNTED]?.(this)
    return result
  })
  define(target, 'callback', function callback(this: Koa): RequestListener {
    const handler = below(this).callback.call(this)
    if (typeof handler === 'function') define(handler, APP, this)
    return handler
  })
}

/** As methods of a class are: not enumerable. */
function define(target: object, name: PropertyKey, value: unknown): void {
  Object.defineProperty(target, name, { value, writable: true, configurable: true })
}

export function onMounted(middleware: object, listener: (app: Koa) => void): void {
  define(middleware, MOUNTED, listener)
}

/** What `routes()` of @koa/router makes. */
interface Routes {
  router?: { stack?: { stack?: unknown[] }[] }
}

/** Whether the app has it, by itself or in a router. */
export function leadsTo(app: Koa, middleware: object): boolean {
  return app.middleware.some(
    (one: object & Routes) =>
      one === middleware || one.router?.stack?.some(({ stack }) => stack?.includes(middleware)) === true,
  )
}

/** The app behind a request listener, if it is one of Koa's. */
export function appOf(listener: object): Koa | undefined {
  return (listener as Handler)[APP]
}
