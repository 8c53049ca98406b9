import { type EtcdRegisterMiddleware, type EtcdRegisterOptions, etcdRegister } from '@etcd-register/express'
import express, { type Express } from 'express'
import type { Logger } from 'pino'
import { pinoHttp } from 'pino-http'
import { answerErrors, notFound } from './errors.ts'
import { health } from './health.ts'
import { createRoutes } from './routes.ts'
import { createStore } from './store.ts'

export interface Orders {
  app: Express
  service: EtcdRegisterMiddleware
}

/** `etcd` is for tests: what it needs otherwise is in the environment. */
export function createApp(log: Logger, etcd: EtcdRegisterOptions = {}): Orders {
  const app = express().disable('x-powered-by')
  const service = etcdRegister({ name: 'orders', logger: log, ...etcd })
  const { registry } = service
  const services = { inventory: registry.discover('inventory'), payments: registry.discover('payments') }
  const logRequest = pinoHttp({
    logger: log,
    autoLogging: { ignore: request => request.url === '/health' },
    customLogLevel: (_request, { statusCode }) => (statusCode < 500 ? 'info' : 'error'),
    serializers: {
      req: ({ id, method, url }) => ({ id, method, url }),
      res: ({ statusCode }) => ({ statusCode }),
    },
  })

  app.use(service)
  app.use(logRequest, express.json())
  app.get('/health', health(service, services))
  app.use('/orders', createRoutes(createStore(), services, log))
  app.use(notFound, answerErrors)
  return { app, service }
}
