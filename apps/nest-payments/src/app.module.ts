import { EtcdModule, type EtcdModuleOptions } from '@etcd-register/nestjs'
import { type DynamicModule, Module, ValidationPipe } from '@nestjs/common'
import { APP_FILTER, APP_PIPE } from '@nestjs/core'
import { TerminusModule } from '@nestjs/terminus'
import type { ValidationError } from 'class-validator'
import { LoggerModule } from 'nestjs-pino'
import type { Logger } from 'pino'
import type { Options } from 'pino-http'
import { ApiErrorFilter, ApiException } from './api-error.ts'
import { HealthController } from './health.controller.ts'
import { PaymentsModule } from './payments/payments.module.ts'

@Module({})
export class AppModule {
  /** `etcd` is for tests: what it needs otherwise is in the environment. */
  static with(log: Logger, etcd: EtcdModuleOptions = {}): DynamicModule {
    return {
      module: AppModule,
      imports: [
        LoggerModule.forRoot({ pinoHttp: requestLog(log) }),
        EtcdModule.forRoot({ name: 'payments', logger: log, ...etcd }),
        TerminusModule.forRoot({ logger: false }),
        PaymentsModule,
      ],
      controllers: [HealthController],
      providers: [
        { provide: APP_FILTER, useClass: ApiErrorFilter },
        { provide: APP_PIPE, useValue: new ValidationPipe({ whitelist: true, exceptionFactory: invalid }) },
      ],
    }
  }
}

function requestLog(logger: Logger): Options {
  return {
    logger,
    autoLogging: { ignore: ({ url }) => url?.startsWith('/health') ?? false },
    customLogLevel: (_request, { statusCode }) => (statusCode < 500 ? 'info' : 'error'),
    serializers: {
      req: ({ id, method, url }) => ({ id, method, url }),
      res: ({ statusCode }) => ({ statusCode }),
    },
  }
}

function invalid(errors: ValidationError[]): ApiException {
  const issues = errors.flatMap(({ property: path, constraints = {} }) =>
    Object.values(constraints).map(message => ({ path, message })),
  )
  return new ApiException(400, 'INVALID_INPUT', 'The input is not valid.', { issues })
}
