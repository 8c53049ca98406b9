import { once } from 'node:events'
import type { AddressInfo } from 'node:net'
import type { EtcdRegisterMiddleware, EtcdRegisterOptions } from '@etcd-register/express'
import { pino } from 'pino'
import { onTestFinished } from 'vitest'
import { createApp } from '../src/app.ts'

interface Answer {
  status: number
  retryAfter: string | null
  body: unknown
}

export interface Running {
  port: number
  service: EtcdRegisterMiddleware
  call(method: string, path: string, body?: unknown): Promise<Answer>
  close(): void
}

/** The app on a port of its own, closed with the test. */
export async function running(etcd: EtcdRegisterOptions): Promise<Running> {
  const { app, service } = createApp(pino({ level: 'silent' }), etcd)
  const server = app.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const { port } = server.address() as AddressInfo
  const close = () => void server.close()
  onTestFinished(async () => {
    if (server.listening) {
      close()
      await once(server, 'close')
    }
    await service.close()
  })
  return {
    port,
    service,
    close,
    async call(method, path, body) {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, {
        method,
        headers: { 'content-type': 'application/json' },
        body: body === undefined ? null : typeof body === 'string' ? body : JSON.stringify(body),
      })
      const { status, headers } = response
      return { status, retryAfter: headers.get('retry-after'), body: await response.json() }
    },
  }
}
