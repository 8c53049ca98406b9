import { type EtcdRegisterError, invalidOption } from './errors.ts'

/** Takes structured log lines, fields first: a pino logger fits as it is, one of winston through `winstonLogger()`. */
export interface Logger {
  debug(fields: object, message: string): void
  info(fields: object, message: string): void
  warn(fields: object, message: string): void
  error(fields: object, message: string): void
}

/** What a logger throws must not stop the work that it is told of. Throws `ERR_INVALID_OPTION`. */
export function resolveLogger(logger: Logger | false | undefined): Logger {
  if (logger === undefined) return consoleLogger
  if (logger === false) return silentLogger
  if (isWinston(logger)) return guardedLogger(winstonLogger(logger))
  if (LEVELS.every(level => typeof logger?.[level] === 'function')) return guardedLogger(logger)
  const rule = `an object with debug, info, warn and error that each take (fields, message), such as pino's, winstonLogger() of one of winston, or false`
  throw invalidOption('logger', rule, logger)
}

const LEVELS = ['debug', 'info', 'warn', 'error'] as const

/** The part of a winston logger, or of the module `winston` itself, that is used. */
export interface WinstonLike {
  log(entry: { level: string; message: string }): unknown
  levels?: Readonly<Record<string, number>>
}

/** What other sets of levels of winston have in place of ours. */
const OTHER_NAMES: Readonly<Record<string, string>> = { warn: 'warning' }

/**
 * A logger of winston as one of ours: there the message comes first, and with the fields first it would be lost. Errors
 * among the fields keep their message and their stack in every format of winston. Throws `ERR_INVALID_OPTION` for a logger
 * without one of the levels.
 */
export function winstonLogger(winston: WinstonLike): Logger {
  if (typeof winston?.log !== 'function') throw invalidOption('logger', 'a logger of winston', winston)
  const { levels } = winston
  const at = (level: (typeof LEVELS)[number]): Logger['info'] => {
    const names = [level, OTHER_NAMES[level]]
    const name = levels === undefined ? level : names.find(name => name !== undefined && name in levels)
    if (name === undefined) {
      const rule = `a logger of winston with the levels debug, info, warn (or warning) and error, but it has no "${level}"`
      throw invalidOption('logger', rule, Object.keys(levels!))
    }
    // As one entry: a "%s" in a message on its own would stand for the fields.
    return (fields, message) => void winston.log({ ...printable(fields), level: name, message })
  }
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') }
}

/** Whose methods take a message first, and lose one that comes second. */
function isWinston(logger: unknown): logger is WinstonLike {
  const { log, transports } = (logger ?? {}) as { log?: unknown; transports?: unknown }
  return typeof log === 'function' && typeof transports === 'object'
}

/** With errors as plain objects, since `JSON.stringify` makes `{}` of them. */
function printable(fields: object): object {
  const pairs = Object.entries(fields).map(([name, value]): [string, unknown] => {
    if (!(value instanceof Error)) return [name, value]
    const { name: kind, message, stack } = value
    return [name, { ...value, name: kind, message, ...(stack !== undefined && { stack }) }]
  })
  return Object.fromEntries(pairs)
}

/** Never throws. */
export function guardedLogger(logger: Logger): Logger {
  return {
    debug: (fields, message) => attempt(() => logger.debug(fields, message)),
    info: (fields, message) => attempt(() => logger.info(fields, message)),
    warn: (fields, message) => attempt(() => logger.warn(fields, message)),
    error: (fields, message) => attempt(() => logger.error(fields, message)),
  }
}

/**
 * An error of ours for a logger. The stacks of it and of its causes say nothing more than the message, and are 3 KB with
 * pino; an object of its class is what loggers know to print.
 */
export function errorFields(error: EtcdRegisterError): { code: string; err: Error } {
  const { name, message, code } = error
  const err = Object.assign(Object.create(Object.getPrototypeOf(error)), { name, message, code })
  return { code, err }
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
