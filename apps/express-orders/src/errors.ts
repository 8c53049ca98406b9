import { STATUS_CODES } from 'node:http'
import type { ErrorRequestHandler, RequestHandler } from 'express'
import { z } from 'zod'

/** Answered as `{ error: { code, message } }`, as every error is. */
export class ApiError extends Error {
  readonly status: number
  readonly code: string
  /** Of the service that is missing for the moment. */
  readonly service: string | undefined

  constructor(
    status: number,
    code: string,
    message: string,
    options: ErrorOptions & { service?: string } = {},
  ) {
    super(message, options)
    this.status = status
    this.code = code
    this.service = options.service
  }
}

export const notFound: RequestHandler = ({ method, path }) => {
  throw new ApiError(404, 'NOT_FOUND', `There is no ${method} ${path}.`)
}

export const answerErrors: ErrorRequestHandler = (error, _request, response, next) => {
  if (response.headersSent) return next(error)
  const { status, ...body } = describe(error)
  if (status === 503) response.set('Retry-After', '1')
  // pino-http logs it with the request.
  if (status >= 500) response.err = error
  response.status(status).json({ error: body })
}

function describe(error: unknown) {
  if (error instanceof ApiError) {
    const { status, code, message, service } = error
    return { status, code, message, service }
  }
  if (error instanceof z.ZodError) {
    const issues = error.issues.map(({ path, message }) => ({ path: path.join('.'), message }))
    return { status: 400, code: 'INVALID_INPUT', message: 'The input is not valid.', issues }
  }
  // Of Express and its middleware, such as a body that is not JSON.
  const { status = 500, message } = error as { status?: number; message: string }
  return status < 500
    ? { status, code: STATUS_CODES[status]?.toUpperCase().replaceAll(' ', '_'), message }
    : { status: 500, code: 'INTERNAL', message: 'Something went wrong here.' }
}
