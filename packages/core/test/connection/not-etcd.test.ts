import { describe, expect, test } from 'vitest'
import { startNotEtcd } from '../support/not-etcd.ts'
import { keepLog, openRegistry } from '../support/read-side.ts'
import { until } from '../support/until.ts'
import { orders } from '../support/write-side.ts'

const html = { 'content-type': 'text/html' }
const page = '<html><body><h1>No</h1></body></html>'

describe.concurrent('an answer that is not of etcd', () => {
  test.for<[name: string, headers: Record<string, string | number>, body: string | undefined]>([
    ['400', { ':status': 400, ...html }, page],
    ['401', { ':status': 401, ...html }, page],
    ['403', { ':status': 403, ...html }, page],
    ['403 without a body', { ':status': 403 }, undefined],
    ['404', { ':status': 404, 'content-type': 'text/plain' }, 'not found'],
    ['302', { ':status': 302, location: 'http://127.0.0.1/login' }, undefined],
    ['500', { ':status': 500, ...html }, page],
    ['503', { ':status': 503, ...html }, page],
    ['200', { ':status': 200, ...html }, page],
    ['200 with a short body', { ':status': 200, 'content-type': 'text/plain' }, 'ok'],
    ['200 without a body', { ':status': 200 }, undefined],
    ['200 as gRPC, without its status', { ':status': 200, 'content-type': 'application/grpc' }, undefined],
  ])('HTTP status %s: one warning that says so, down, tried again', async ([name, headers, body], t) => {
    let requests = 0
    const balancer = await startNotEtcd(t, stream => {
      requests += 1
      stream.respond(headers, { endStream: body === undefined })
      if (body !== undefined) stream.end(body)
    })
    const logger = keepLog()
    const registry = openRegistry(t, balancer.endpoint, { logger })
    const discovery = registry.discover('orders')
    const registration = registry.register(orders())
    const outcomes: unknown[] = []
    for (const ready of [discovery.ready(), registration.ready()])
      ready.catch((error: unknown) => outcomes.push(error))
    await until(() => requests > 12, { what: 'it is tried again' })
    expect(outcomes).toEqual([])
    expect(registry.status().etcd).toMatchObject({
      connection: 'down',
      lastError: { code: 'ERR_ETCD_UNAVAILABLE' },
    })
    expect(logger.of('warn')).toEqual([
      expect.stringMatching(
        new RegExp(`^Not etcd but a proxy or balancer .* HTTP status ${name.slice(0, 3)}`),
      ),
    ])
    await registry.close()
  })
})
