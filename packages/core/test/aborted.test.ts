import { createServer } from 'node:net'
import { createRegistry, EtcdRegisterError } from '@etcd-register/core'
import { describe, expect, test } from 'vitest'
import { until } from './support/until.ts'

const service = { name: 'orders', port: 8000, host: '192.0.2.1' }

/** What waits with a signal. */
const waiting = {
  'the ready() of a registration': (hosts: string) => {
    const registry = createRegistry({ hosts, logger: false })
    const registration = registry.register(service)
    const status = () => registry.status().registrations[0]!
    return { registry, status, ready: (signal: AbortSignal) => registration.ready({ signal }) }
  },
  'the ready() of a discovery': (hosts: string) => {
    const registry = createRegistry({ hosts, logger: false })
    const discovery = registry.discover('orders')
    const status = () => registry.status().watches[0]!
    return { registry, status, ready: (signal: AbortSignal) => discovery.ready({ signal }) }
  },
}

describe.concurrent.each(Object.entries(waiting))('%s that is aborted', (_, start) => {
  test('rejects with an AbortError of ours that has the last error of etcd and the reason', async t => {
    const { registry, status, ready } = start('127.0.0.1:1')
    t.onTestFinished(() => registry.close())
    await until(() => status().lastError !== undefined)
    const signal = AbortSignal.timeout(1)
    const error = await ready(signal).catch(error => error)
    expect(error).toBeInstanceOf(EtcdRegisterError)
    expect(error).toMatchObject({ name: 'AbortError', code: 'ERR_ABORTED', retryable: true })
    expect(error.cause).toBe(signal.reason)
    expect(error.cause.name).toBe('TimeoutError')
    expect(error.message).toContain('"orders"')
    expect(error.message).toContain('The last error was: etcd at 127.0.0.1:1 cannot be reached')
    expect(error.message).toContain('ECONNREFUSED')
  })

  test('says that etcd has not answered where there is no error yet', async t => {
    const mute = createServer(() => {})
    await new Promise<void>(resolve => mute.listen(0, '127.0.0.1', resolve))
    t.onTestFinished(() => void mute.close())
    const { port } = mute.address() as { port: number }
    const { registry, ready } = start(`127.0.0.1:${port}`)
    t.onTestFinished(() => registry.close())
    const reason = new Error('the deploy was cancelled')
    const error = await ready(AbortSignal.abort(reason)).catch(error => error)
    expect(error).toMatchObject({ code: 'ERR_ABORTED', cause: reason })
    expect(error.message).toMatch(/etcd has not answered yet\.$/)
  })
})

test('options of a wait that are none are refused with what they are', async t => {
  const registry = createRegistry({ hosts: '127.0.0.1:1', logger: false })
  t.onTestFinished(() => registry.close())
  const registration = registry.register(service)
  const discovery = registry.discover('orders')
  const refused: [() => Promise<void>, RegExp][] = []
  for (const waiting of [registration, discovery]) {
    const call = (options: unknown) => () => waiting.ready(options as never)
    refused.push([call(null), /^Option "options of ready\(\)" must be an object; got null/])
    refused.push([call({ sgnal: AbortSignal.abort() }), /^Unknown option "sgnal"; did you mean "signal"\?/])
    refused.push([call({ signal: 5 }), /^Option "signal" must be an AbortSignal; got 5/])
  }
  const deregister = (options: unknown) => () => registration.deregister(options as never)
  refused.push([deregister(null), /^Option "options of deregister\(\)" must be an object; got null/])
  refused.push([deregister({ tmeout: 3 }), /^Unknown option "tmeout"; did you mean "timeout"\?/])
  refused.push([deregister({ timeout: -1 }), /^Option "timeout" must be a whole number of milliseconds/])
  for (const [call, message] of refused)
    await expect(call()).rejects.toMatchObject({
      code: 'ERR_INVALID_OPTION',
      message: expect.stringMatching(message),
    })
})
