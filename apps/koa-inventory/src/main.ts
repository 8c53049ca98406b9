import type { AddressInfo } from 'node:net'
import { pino } from 'pino'
import { createApp } from './app.ts'

const { PORT = '3001', LOG_LEVEL = 'info' } = process.env
const log = pino({ name: 'inventory', level: LOG_LEVEL })
const { app } = createApp(log)

const server = app.listen(Number(PORT), () => {
  const { port } = server.address() as AddressInfo
  log.info({ port }, 'listening')
})
