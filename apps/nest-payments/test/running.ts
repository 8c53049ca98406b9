import 'reflect-metadata'
import type { AddressInfo } from 'node:net'
import { type CurrentRegistration, ETCD_REGISTRATION, type EtcdModuleOptions } from '@etcd-register/nestjs'
import { NestFactory } from '@nestjs/core'
import { pino } from 'pino'
import { onTestFinished } from 'vitest'
import { AppModule } from '../src/app.module.ts'

interface Answer {
  status: number
  retryAfter: string | null
  body: unknown
}

export interface Running {
  port: number
  service: CurrentRegistration
  call(method: string, path: string, body?: unknown): Promise<Answer>
  close(): Promise<void>
}

/** The app on a port of its own, closed with the test. */
export async function running(etcd: EtcdModuleOptions): Promise<Running> {
  const log = pino({ level: 'silent' })
  const app = await NestFactory.create(AppModule.with(log, etcd), { logger: false, abortOnError: false })
  onTestFinished(() => app.close())
  await app.listen(0, '127.0.0.1')
  const { port } = app.getHttpServer().address() as AddressInfo
  return {
    port,
    service: app.get(ETCD_REGISTRATION),
    close: () => app.close(),
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
