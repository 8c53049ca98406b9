import { Writable } from 'node:stream'
import { createRegistry, EtcdRegisterError, type RegistryOptions, winstonLogger } from '@etcd-register/core'
import { describe, expect, test } from 'vitest'
import winston from 'winston'
import { errorFields, resolveLogger } from '../src/etcd/support/logger.ts'

/** A real logger of winston, and what it wrote. */
function aWinston(options: winston.LoggerOptions = {}) {
  const lines: string[] = []
  const stream = new Writable({
    write(chunk, _encoding, done) {
      lines.push(String(chunk).trim())
      done()
    },
  })
  const transports = [new winston.transports.Stream({ stream })]
  const logger = winston.createLogger({ level: 'debug', transports, ...options })
  return { logger, lines, last: () => JSON.parse(lines.at(-1)!) as Record<string, unknown> }
}

type Levels = 'debug' | 'info' | 'warn' | 'error'
const LEVELS: readonly Levels[] = ['debug', 'info', 'warn', 'error']

describe('winston, which takes the message first', () => {
  test.each([
    ['as it is', (logger: winston.Logger) => logger],
    ['as a child', (logger: winston.Logger) => logger.child({})],
    ['through winstonLogger()', (logger: winston.Logger) => winstonLogger(logger)],
  ])('%s keeps message, fields and level', (_, given) => {
    const { logger, last } = aWinston()
    const resolved = resolveLogger(given(logger) as RegistryOptions['logger'])
    for (const level of LEVELS) {
      resolved[level]({ service: 'orders', code: 7 }, `at ${level}`)
      expect(last()).toEqual({ level, message: `at ${level}`, service: 'orders', code: 7 })
    }
  })

  test('keeps a message with what winston would fill in, and fields that have its names', () => {
    const { logger, last } = aWinston({
      format: winston.format.combine(winston.format.splat(), winston.format.json()),
    })
    winstonLogger(logger).warn({ message: 'other', level: 'x', key: '/a' }, 'at /services/100%s and %d')
    expect(last()).toEqual({ level: 'warn', message: 'at /services/100%s and %d', key: '/a' })
  })

  test('keeps the message of an error among the fields, ours and any other', () => {
    const { logger, last } = aWinston()
    const mine = winstonLogger(logger)
    mine.warn(errorFields(new EtcdRegisterError('ERR_ETCD_TIMEOUT', 'late')), 'x')
    expect(last()).toMatchObject({
      code: 'ERR_ETCD_TIMEOUT',
      err: { name: 'EtcdRegisterError', message: 'late', code: 'ERR_ETCD_TIMEOUT' },
    })
    mine.error({ err: new TypeError('deaf') }, 'x')
    expect(last()).toMatchObject({
      err: { name: 'TypeError', message: 'deaf', stack: expect.stringMatching(/deaf\n\s+at /) },
    })
  })

  test('has its own names of levels', () => {
    const { logger, last } = aWinston({ levels: winston.config.syslog.levels })
    resolveLogger(logger as unknown as RegistryOptions['logger']).warn({ a: 1 }, 'careful')
    expect(last()).toEqual({ level: 'warning', message: 'careful', a: 1 })
  })

  test.each([
    [{ levels: { alarm: 0, info: 1, debug: 2, warn: 3 }, level: 'info' }, /"error"/],
    [{ levels: { error: 0, info: 1, debug: 2 }, level: 'info' }, /"warn"/],
  ])('without one of the levels is refused', (options, missing) => {
    const { logger } = aWinston(options)
    const run = () => createRegistry({ logger: logger as unknown as NonNullable<RegistryOptions['logger']> })
    expect(run).toThrow(expect.objectContaining({ code: 'ERR_INVALID_OPTION' }))
    expect(run).toThrow(missing)
    expect(() => winstonLogger(logger)).toThrow(missing)
  })

  test('what a registry warns of arrives whole', async () => {
    const { logger, lines, last } = aWinston()
    await createRegistry({ hosts: 'etcd.test', auth: { username: 'a', password: 'b' }, logger }).close()
    expect(lines).toHaveLength(1)
    expect(last()).toMatchObject({
      level: 'warn',
      message: expect.stringContaining('The password for etcd goes over http:// to etcd.test:2379'),
      hosts: 'etcd.test:2379',
    })
  })
})

test.each([undefined, null, {}, 'winston'])('winstonLogger(%j) is refused', given => {
  expect(() => winstonLogger(given as never)).toThrow(/a logger of winston/)
})

test('a logger without one of the four methods is refused with the way out', () => {
  const nest = { log() {}, warn() {}, error() {}, debug() {} }
  expect(() => resolveLogger(nest as never)).toThrow(/each take \(fields, message\).*winstonLogger\(\)/)
})
