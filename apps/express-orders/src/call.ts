import type { Discovery, ServiceInstance } from '@etcd-register/express'
import type { Logger } from 'pino'
import { z } from 'zod'
import { ApiError } from './errors.ts'

/** Of one attempt, in ms. */
const TIMEOUT = 2000

const failure = z.object({ error: z.object({ code: z.string(), message: z.string() }) })

export interface Call {
  method: string
  path: string
  body?: object
  headers?: Record<string, string>
}

/** An instance to call; 503 if none is known. */
export function pick(discovery: Discovery): ServiceInstance {
  const instance = discovery.pick()
  if (instance !== undefined) return instance
  const { name } = discovery
  throw new ApiError(503, 'SERVICE_UNAVAILABLE', `No instance of "${name}" is known.`, { service: name })
}

/**
 * The answer's body. What gets no good answer from the first instance is tried once more, on another one if there is one:
 * only for requests that may come twice. What the service refuses (4xx) is thrown as its refusal.
 */
export async function call(
  discovery: Discovery,
  first: ServiceInstance,
  request: Call,
  log: Logger,
): Promise<{ body: unknown; instance: ServiceInstance }> {
  try {
    return { body: await attempt(first, request), instance: first }
  } catch (err) {
    if (err instanceof ApiError) throw err
    const instance = otherThan(first, discovery)
    log.warn({ err, service: discovery.name, instance: first.id, next: instance.id }, 'trying again')
    const body = await attempt(instance, request).catch((cause: unknown) => {
      if (cause instanceof ApiError) throw cause
      throw new ApiError(502, 'SERVICE_FAILED', `"${discovery.name}" did not answer.`, { cause })
    })
    return { body, instance }
  }
}

function otherThan(failed: ServiceInstance, discovery: Discovery): ServiceInstance {
  for (const _ of discovery.instances) {
    const instance = pick(discovery)
    if (instance.id !== failed.id) return instance
  }
  return pick(discovery)
}

async function attempt(
  { endpoints }: ServiceInstance,
  { method, path, body, headers }: Call,
): Promise<unknown> {
  const response = await fetch(`${endpoints[0]}${path}`, {
    method,
    headers: { 'content-type': 'application/json', ...headers },
    body: body === undefined ? null : JSON.stringify(body),
    signal: AbortSignal.timeout(TIMEOUT),
  })
  const text = await response.text()
  if (response.status >= 500) throw new Error(`${method} ${path} answered ${response.status}`)
  const answer: unknown = text === '' ? undefined : JSON.parse(text)
  if (response.ok) return answer
  const { error } = failure.parse(answer)
  throw new ApiError(response.status, error.code, error.message)
}
