import 'reflect-metadata'
import type { AddressInfo } from 'node:net'
import { NestFactory } from '@nestjs/core'
import { Logger } from 'nestjs-pino'
import { pino } from 'pino'
import { AppModule } from './app.module.ts'

const { PORT = '3002', LOG_LEVEL = 'info' } = process.env
const log = pino({ name: 'payments', level: LOG_LEVEL })
const app = await NestFactory.create(AppModule.with(log), { bufferLogs: true })
app.useLogger(app.get(Logger))
app.enableShutdownHooks()
await app.listen(Number(PORT))

const { port } = app.getHttpServer().address() as AddressInfo
log.info({ port }, 'listening')
