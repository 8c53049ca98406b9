import { type EtcdRegisterMiddleware, type EtcdRegisterOptions, etcdRegister } from '@etcd-register/koa'
import { bodyParser } from '@koa/bodyparser'
import Koa from 'koa'
import type { Logger } from 'pino'
import { pinoHttp } from 'pino-http'
import { answerErrors } from './errors.ts'
import { health } from './health.ts'
import { createRoutes } from './routes.ts'
import { createStore } from './store.ts'

export interface Inventory {
  app: Koa
  service: EtcdRegisterMiddleware
}

/** `etcd` is for tests: what it needs otherwise is in the environment. */
export function createApp(log: Logger, etcd: EtcdRegisterOptions = {}): Inventory {
  const app = new Koa()
  const service = etcdRegister({ name: 'inventory', logger: log, ...etcd })
  app.use(service)

  const logRequest = pinoHttp({
    logger: log,
    autoLogging: { ignore: request => request.url === '/health' },
    customLogLevel: (_request, { statusCode }) => (statusCode < 500 ? 'info' : 'error'),
    serializers: {
      req: ({ id, method, url }) => ({ id, method, url }),
      res: ({ statusCode }) => ({ statusCode }),
    },
  })
  app.use((context, next) => {
    logRequest(context.req, context.res)
    return next()
  })
  app.use(answerErrors)
  app.use(bodyParser({ enableTypes: ['json'] }))

  const router = createRoutes(createStore()).get('/health', health(service))
  app.use(router.routes()).use(router.allowedMethods({ throw: true }))
  return { app, service }
}
