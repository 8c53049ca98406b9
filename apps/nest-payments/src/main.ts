import 'reflect-metadata'
import type { AddressInfo } from 'node:net'
import { NestFactory } from '@nestjs/core'
import { pino } from 'pino'
import { AppModule } from './app.module.ts'
import { nestLog } from './nest-log.ts'

const { PORT = '3002', LOG_LEVEL = 'info' } = process.env
const log = pino({ name: 'payments', level: LOG_LEVEL })
const app = await NestFactory.create(AppModule.with(log), { logger: nestLog(log) })
app.enableShutdownHooks()
await app.listen(Number(PORT))

const { port } = app.getHttpServer().address() as AddressInfo
log.info({ port }, 'listening')
