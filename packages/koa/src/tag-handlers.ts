import Koa from 'koa'

const TAGGED: unique symbol = Symbol.for('etcd-register.koa.tagged')
const APP: unique symbol = Symbol.for('etcd-register.koa.app')
const MOUNTED: unique symbol = Symbol.for('etcd-register.koa.mounted')

/** A middleware that wants to know when an app takes it. */
interface Mountable {
  [MOUNTED]?: () => void
}

/** A request listener that Koa made. */
interface Handler {
  [APP]?: Koa
}

/**
 * Neither a middleware nor a request listener leads to the app in Koa, so the class is extended once for all copies of
 * this package: `callback()` notes the app on the listener that it makes, `use()` tells the middleware.
 */
export function tagHandlers(): void {
  const prototype: Koa & { [TAGGED]?: true } = Koa.prototype
  if (prototype[TAGGED]) return
  Object.defineProperty(prototype, TAGGED, { value: true })
  const { callback, use } = prototype
  prototype.callback = function (this: Koa) {
    return Object.defineProperty(callback.call(this), APP, { value: this })
  }
  prototype.use = function (this: Koa, middleware: Koa.Middleware & Mountable) {
    const app = use.call(this, middleware)
    middleware[MOUNTED]?.()
    return app
  } as typeof use
}

export function onMounted(middleware: object, listener: () => void): void {
  Object.defineProperty(middleware, MOUNTED, { value: listener })
}

/** The app behind a request listener, if it is one of Koa's. */
export function appOf(listener: object): Koa | undefined {
  return (listener as Handler)[APP]
}
