import type { LoggerService } from '@nestjs/common'
import type { Logger } from 'pino'

/** What Nest itself has to say, in the log of the app. The last thing that it gives is the context. */
export function nestLog(log: Logger): LoggerService {
  const at =
    (level: 'debug' | 'error' | 'fatal' | 'info' | 'trace' | 'warn') =>
    (message: unknown, ...more: unknown[]) => {
      const context = more.pop()
      log[level]({ context, ...(more.length > 0 && { more }) }, String(message))
    }
  return {
    ...{ verbose: at('trace'), debug: at('debug'), log: at('info') },
    ...{ warn: at('warn'), error: at('error'), fatal: at('fatal') },
  }
}
