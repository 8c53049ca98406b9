import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, describe, expect, type TestContext, test } from 'vitest'
import { aChild } from '../support/child.ts'
import { rows } from '../support/etcdctl-table.ts'
import { until } from '../support/until.ts'

let etcd: EtcdMember
let count = 0

beforeAll(async () => {
  etcd = await startEtcdBinary()
})

afterAll(() => etcd?.stop())

interface Serving {
  options?: object
  /** The app has a handler of its own for SIGTERM, or for SIGUSR2. */
  handler?: 'close' | 'once' | 'stay' | 'SIGUSR2'
  signalExit?: boolean
}

/** A process that serves and is on the roll; its lease would last for a minute. */
async function serving(t: TestContext, more: Serving = {}) {
  count += 1
  const name = `served-${count}`
  const child = aChild(t, 'serve.mjs', JSON.stringify({ hosts: etcd.endpoint, name, ...more }))
  const keys = async () => (await rows(etcd, `/services/${name}/`)).length
  await until(() => child.lines.some(line => line.startsWith('port ')), { within: 45_000 })
  expect(await keys()).toBe(1)
  const port = Number(child.lines.find(line => line.startsWith('port '))!.slice(5))
  /** A request that is under way when this resolves, and is never answered. */
  const neverAnswered = async () => {
    fetch(`http://127.0.0.1:${port}/never`).catch(() => {})
    await child.said('/never')
  }
  return { child, keys, port, neverAnswered }
}

describe.concurrent('on a signal', () => {
  // nodemon restarts by the last.
  test.for(['SIGTERM', 'SIGINT', 'SIGUSR2'] as const)(
    '%s: it leaves, closes, and ends by that signal',
    async (signal, t) => {
      const { child, keys } = await serving(t)
      child.kill(signal)
      expect(await child.ended).toBe(signal)
      expect(child.lines.slice(1)).toEqual(['left', 'closed'])
      expect(await keys()).toBe(0)
    },
  )

  test('where the app handles it, it leaves, and how to end is not its business', async t => {
    const { child, keys } = await serving(t, { handler: 'close' })
    child.kill('SIGTERM')
    expect(await child.ended).toBe(7)
    expect(child.lines.slice(1)).toEqual(['the app handles it', 'left', 'closed'])
    expect(await keys()).toBe(0)
  })

  test('a handler for once is one as well, though it was there before', async t => {
    const { child, keys } = await serving(t, { handler: 'once' })
    child.kill('SIGTERM')
    expect(await child.ended).toBe(7)
    expect(child.lines.slice(1)).toEqual(['the app handles it', 'left', 'closed'])
    expect(await keys()).toBe(0)
  })

  test('where nobody handles the second one, it ends at once', async t => {
    const { child, neverAnswered } = await serving(t, {
      handler: 'once',
      options: { shutdownTimeout: 60_000 },
    })
    await neverAnswered()
    await until(() => {
      child.kill('SIGTERM')
      return !child.running
    })
    expect(await child.ended).toBe('SIGTERM')
    expect(child.lines).toContain('the app handles it')
  })

  test('where the app handles it and goes on, so do we, off the roll', async t => {
    const { child, keys, port } = await serving(t, { handler: 'stay' })
    child.kill('SIGTERM')
    await child.said('left')
    expect(await keys()).toBe(0)
    child.kill('SIGTERM')
    await child.said('the app handles it', 2)
    const response = await fetch(`http://127.0.0.1:${port}/`)
    expect(await response.text()).toBe('ok')
    expect(response.headers.get('connection')).toBe('close')
    await child.said('/')
    expect(child.lines.slice(1)).toEqual(['the app handles it', 'left', 'the app handles it', '/'])
  })

  test('SIGUSR2 that the app listens to is none of our business', async t => {
    const { child, keys } = await serving(t, { handler: 'SIGUSR2' })
    child.kill('SIGUSR2')
    await child.said('the app handles it')
    child.kill('SIGTERM')
    expect(await child.ended).toBe('SIGTERM')
    expect(child.lines.slice(1)).toEqual(['the app handles it', 'left', 'closed'])
    expect(await keys()).toBe(0)
  })

  test('signal-exit counts for nobody, and still gets its turn at the end', async t => {
    const { child, keys } = await serving(t, { signalExit: true })
    child.kill('SIGTERM')
    expect(await child.ended).toBe('SIGTERM')
    expect(child.lines.slice(1)).toEqual(['left', 'closed', 'signal-exit was last'])
    expect(await keys()).toBe(0)
  })

  test('a request that never ends holds it for the time of shutdownTimeout only', async t => {
    const { child, keys, neverAnswered } = await serving(t, { options: { shutdownTimeout: 2000 } })
    await neverAnswered()
    child.kill('SIGTERM')
    expect(await child.ended).toBe('SIGTERM')
    expect(child.lines).toContain('left')
    expect(await keys()).toBe(0)
  })

  test('a second one ends it at once, but not one that comes twice in an instant', async t => {
    const { child, keys, neverAnswered } = await serving(t, { options: { shutdownTimeout: 60_000 } })
    await neverAnswered()
    const first = performance.now()
    for (let times = 0; times < 2; times += 1) child.kill('SIGTERM')
    await child.said('left')
    await until(() => {
      child.kill('SIGTERM')
      return !child.running
    })
    expect(await child.ended).toBe('SIGTERM')
    expect(performance.now() - first).toBeGreaterThan(450)
    expect(await keys()).toBe(0)
  })

  test('with signals: false it is none of our business', async t => {
    const { child, keys } = await serving(t, { options: { signals: false } })
    child.kill('SIGTERM')
    expect(await child.ended).toBe('SIGTERM')
    expect(child.lines.slice(1)).toEqual([])
    expect(await keys()).toBe(1)
  })
})
