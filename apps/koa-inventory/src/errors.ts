import { STATUS_CODES } from 'node:http'
import type Koa from 'koa'
import { z } from 'zod'

/** What a client did wrong; answered as `{ error: { code, message } }`, as every error is. */
export class ApiError extends Error {
  readonly status: number
  readonly code: string

  constructor(status: number, code: string, message: string) {
    super(message)
    this.status = status
    this.code = code
  }
}

export const answerErrors: Koa.Middleware = async (context, next) => {
  try {
    await next()
    if (context.status === 404 && context.body == null) {
      throw new ApiError(404, 'NOT_FOUND', `There is no ${context.method} ${context.path}.`)
    }
  } catch (error) {
    const { status, ...body } = describe(error)
    context.status = status
    context.body = { error: body }
    // pino-http logs it with the request.
    if (status >= 500) context.res.err = error as Error
  }
}

function describe(error: unknown) {
  if (error instanceof ApiError) return { status: error.status, code: error.code, message: error.message }
  if (error instanceof z.ZodError) {
    const issues = error.issues.map(({ path, message }) => ({ path: path.join('.'), message }))
    return { status: 400, code: 'INVALID_INPUT', message: 'The input is not valid.', issues }
  }
  // Of Koa and its middleware, such as a body that is not JSON.
  const { status = 500, message } = error as { status?: number; message: string }
  return status < 500
    ? { status, code: STATUS_CODES[status]?.toUpperCase().replaceAll(' ', '_'), message }
    : { status: 500, code: 'INTERNAL', message: 'Something went wrong here.' }
}
