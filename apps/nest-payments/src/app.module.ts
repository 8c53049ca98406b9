import { EtcdModule, type EtcdModuleOptions } from '@etcd-register/nestjs'
import { type DynamicModule, Inject, type MiddlewareConsumer, Module, ValidationPipe } from '@nestjs/common'
import { APP_FILTER, APP_PIPE } from '@nestjs/core'
import { TerminusModule } from '@nestjs/terminus'
import type { ValidationError } from 'class-validator'
import type { Logger } from 'pino'
import { type HttpLogger, pinoHttp } from 'pino-http'
import { ApiErrorFilter, ApiException } from './api-error.ts'
import { HealthController } from './health.controller.ts'
import { PaymentsModule } from './payments/payments.module.ts'

const REQUEST_LOG = Symbol('REQUEST_LOG')

@Module({})
export class AppModule {
  constructor(@Inject(REQUEST_LOG) private readonly requestLog: HttpLogger) {}

  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(this.requestLog).forRoutes('*all')
  }

  /** `etcd` is for tests: what it needs otherwise is in the environment. */
  static with(log: Logger, etcd: EtcdModuleOptions = {}): DynamicModule {
    return {
      module: AppModule,
      imports: [
        EtcdModule.forRoot({ name: 'payments', logger: log, ...etcd }),
        TerminusModule.forRoot({ logger: false }),
        PaymentsModule,
      ],
      controllers: [HealthController],
      providers: [
        { provide: REQUEST_LOG, useValue: requestLog(log) },
        { provide: APP_FILTER, useClass: ApiErrorFilter },
        { provide: APP_PIPE, useValue: new ValidationPipe({ whitelist: true, exceptionFactory: invalid }) },
      ],
    }
  }
}

function requestLog(logger: Logger): HttpLogger {
  return pinoHttp({
    logger,
    autoLogging: { ignore: ({ url }) => url?.startsWith('/health') ?? false },
    customLogLevel: (_request, { statusCode }) => (statusCode < 500 ? 'info' : 'error'),
    serializers: {
      req: ({ id, method, url }) => ({ id, method, url }),
      res: ({ statusCode }) => ({ statusCode }),
    },
  })
}

function invalid(errors: ValidationError[]): ApiException {
  const issues = errors.flatMap(({ property: path, constraints = {} }) =>
    Object.values(constraints).map(message => ({ path, message })),
  )
  return new ApiException(400, 'INVALID_INPUT', 'The input is not valid.', { issues })
}
