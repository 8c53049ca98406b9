import { invalidOption } from './errors.ts'
import type { Logger, RegistryOptions } from './types.ts'

/** What a logger throws must not stop the work that it is told of. Throws `ERR_INVALID_OPTION`. */
export function resolveLogger(logger: RegistryOptions['logger']): Logger {
  if (logger === undefined) return consoleLogger
  if (logger === false) return silentLogger
  for (const level of ['debug', 'info', 'warn', 'error'] as const) {
    if (typeof logger?.[level] !== 'function') {
      throw invalidOption(
        'logger',
        `an object with debug, info, warn and error (such as pino's), or false`,
        logger,
      )
    }
  }
  return {
    debug: (fields, message) => attempt(() => logger.debug(fields, message)),
    info: (fields, message) => attempt(() => logger.info(fields, message)),
    warn: (fields, message) => attempt(() => logger.warn(fields, message)),
    error: (fields, message) => attempt(() => logger.error(fields, message)),
  }
}

function attempt(log: () => void): void {
  try {
    log()
  } catch {
    // There is nobody left to tell.
  }
}

const nothing = () => {}
const silentLogger: Logger = { debug: nothing, info: nothing, warn: nothing, error: nothing }
const line = (fields: object, message: string) => {
  const cause = 'err' in fields && fields.err instanceof Error ? fields.err.message : ''
  return `[etcd-register] ${message.includes(cause) ? message : `${message}: ${cause}`}`
}
const consoleLogger: Logger = {
  debug: nothing,
  info: nothing,
  // biome-ignore lint/suspicious/noConsole: the default logger
  warn: (fields, message) => console.warn(line(fields, message)),
  // biome-ignore lint/suspicious/noConsole: the default logger
  error: (fields, message) => console.error(line(fields, message)),
}
