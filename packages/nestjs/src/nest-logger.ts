import type { Logger } from '@etcd-register/core'
import { Logger as NestLogger } from '@nestjs/common'

const nest = new NestLogger('EtcdModule')

/** With the cause, unless the message has it. */
const line = (fields: object, message: string): string => {
  const cause = 'err' in fields && fields.err instanceof Error ? fields.err.message : ''
  return message.includes(cause) ? message : `${message}: ${cause}`
}

/** Warnings and errors, as by default elsewhere, but in the app's own log. */
export const nestLogger: Logger = {
  debug: () => {},
  info: () => {},
  warn: (fields, message) => nest.warn(line(fields, message)),
  error: (fields, message) => nest.error(line(fields, message)),
}
