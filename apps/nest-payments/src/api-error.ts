import { type ServerResponse, STATUS_CODES } from 'node:http'
import { type ArgumentsHost, Catch, type ExceptionFilter, HttpException } from '@nestjs/common'
import { HttpAdapterHost } from '@nestjs/core'

/** Answered as `{ error: { code, message } }`, as every error is. */
export class ApiException extends HttpException {
  constructor(
    status: number,
    readonly code: string,
    message: string,
    readonly details: { issues?: object[] } = {},
  ) {
    super(message, status)
  }
}

@Catch()
export class ApiErrorFilter implements ExceptionFilter {
  constructor(private readonly adapter: HttpAdapterHost) {}

  catch(exception: unknown, host: ArgumentsHost): void {
    const response = host.switchToHttp().getResponse<ServerResponse>()
    const { status, body } = describe(exception)
    // pino-http logs it with the request.
    if (status >= 500) response.err = exception as Error
    // Of a service that is missing for the moment.
    if (status === 503) response.setHeader('Retry-After', '1')
    this.adapter.httpAdapter.reply(response, body, status)
  }
}

function describe(exception: unknown): { status: number; body: object } {
  if (!(exception instanceof HttpException)) {
    return { status: 500, body: { error: { code: 'INTERNAL', message: 'Something went wrong here.' } } }
  }
  const status = exception.getStatus()
  const { message } = exception
  if (exception instanceof ApiException) {
    return { status, body: { error: { code: exception.code, message, ...exception.details } } }
  }
  // What terminus says of a failed health check is in its own shape.
  const body = exception.getResponse() as { details?: object }
  if (body.details !== undefined) return { status, body }
  return {
    status,
    body: { error: { code: STATUS_CODES[status]?.toUpperCase().replaceAll(' ', '_'), message } },
  }
}
