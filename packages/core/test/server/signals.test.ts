import { setTimeout as pause } from 'node:timers/promises'
import { type EtcdMember, startEtcdBinary, startFaultProxy } from '@etcd-register/testing'
import { afterAll, beforeAll, describe, expect, type TestContext, test } from 'vitest'
import { aChild, aChildAtTerminal, type Child } from '../support/child.ts'
import { rows } from '../support/etcdctl-table.ts'
import { until } from '../support/until.ts'

let etcd: EtcdMember
let count = 0

beforeAll(async () => {
  etcd = await startEtcdBinary()
})

afterAll(() => etcd?.stop())

interface Serving {
  hosts?: string
  options?: object
  /** The app has a handler of its own for SIGTERM, or for SIGUSR2. */
  handler?: 'close' | 'once' | 'stay' | 'SIGUSR2'
  /** The app raises SIGTERM and SIGINT again, so many ms after it took them once. */
  raises?: { how: 'once' | 'on'; after: number }
  signalExit?: boolean
  /** Once it has left, SIGTERM comes again, and for so many ms nothing else runs. */
  busy?: number
}

/** The port of `serve.mjs`, once it is registered. */
async function portOf({ lines }: Child): Promise<number> {
  const line = () => lines.find(line => line.startsWith('port '))
  await until(line, { within: 45_000 })
  return Number(line()!.slice(5))
}

/** A process that serves and is registered; its lease would last for a minute. */
async function serving(t: TestContext, more: Serving = {}) {
  count += 1
  const name = `served-${count}`
  const child = aChild(t, 'serve.mjs', JSON.stringify({ hosts: etcd.endpoint, name, ...more }))
  const keys = async () => (await rows(etcd, `/services/${name}/`)).length
  const port = await portOf(child)
  expect(await keys()).toBe(1)
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

  test('where the app took the first one of two that come in an instant, they are one', async t => {
    const { child, keys } = await serving(t, { handler: 'once' })
    child.kill('SIGTERM')
    await pause(10)
    child.kill('SIGTERM')
    expect(await child.ended).toBe(7)
    expect(child.lines.slice(1)).toEqual(['the app handles it', 'left', 'closed'])
    expect(await keys()).toBe(0)
  })

  test('two that come in an instant are one, also where a busy process sees the second late', async t => {
    const { child, keys } = await serving(t, { busy: 1000, options: { drainDelay: 1000 } })
    child.kill('SIGTERM')
    expect(await child.ended).toBe('SIGTERM')
    expect(child.lines.slice(1)).toEqual(['left', 'closed'])
    expect(await keys()).toBe(0)
  })

  describe.each(['SIGTERM', 'SIGINT'] as const)('%s that the app raises again', signal => {
    test.for([0, 50, 400, 700].flatMap(after => [`once, ${after}`, `on, ${after}`]))(
      '(%s ms later): it ends by that signal, deregistered',
      async (how, t) => {
        const [listening, after] = how.split(', ') as ['once' | 'on', string]
        const { child, keys } = await serving(t, { raises: { how: listening, after: Number(after) } })
        child.kill(signal)
        expect(await child.ended).toBe(signal)
        expect(child.lines).toContain('the app raises it again')
        expect(child.lines).toContain('left')
        expect(await keys()).toBe(0)
      },
    )

    test('long after, while etcd is slow: it is deregistered first', async t => {
      const link = await startFaultProxy(etcd)
      t.onTestFinished(() => link.stop())
      const { child, keys } = await serving(t, { hosts: link.endpoint, raises: { how: 'once', after: 600 } })
      link.delay(300)
      child.kill(signal)
      expect(await child.ended).toBe(signal)
      expect(child.lines).toContain('left')
      expect(await keys()).toBe(0)
    })

    test('while a request is under way that never ends: a further one ends it', async t => {
      const { child, keys, neverAnswered } = await serving(t, { raises: { how: 'once', after: 50 } })
      await neverAnswered()
      child.kill(signal)
      await child.said('the app raises it again')
      // What is under way is finished, and this never is: a signal of somebody else's ends it.
      await until(() => {
        child.kill(signal)
        return !child.running
      })
      expect(await child.ended).toBe(signal)
      expect(await keys()).toBe(0)
    })
  })

  test('where the app handles it and goes on, so do we, deregistered', async t => {
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

  // Only Linux has this `script`, and tells of the foreground.
  describe.runIf(process.platform === 'linux')('at a terminal', () => {
    // Longer than the test may take.
    const options = { drainDelay: 300_000, shutdownTimeout: 600_000 }

    test.for([undefined, 'close'] as const)(
      'Ctrl-C does not wait for the drain delay; a handler of the app: %s',
      async (handler, t) => {
        const name = `at-terminal-${handler}`
        const argument = { hosts: etcd.endpoint, name, options, handler, handled: 'SIGINT' }
        const child = aChildAtTerminal(t, 'serve.mjs', [JSON.stringify(argument)])
        await portOf(child)
        child.ctrlC()
        expect(await child.ended).toBe(handler === undefined ? 130 : 7)
        expect(child.lines).toContain('closed')
        expect(await rows(etcd, `/services/${name}/`)).toEqual([])
      },
    )

    test('SIGINT of a process in the background there waits for it', async t => {
      const argument = { hosts: etcd.endpoint, name: 'in-background', options: { drainDelay: 1500 } }
      const child = aChildAtTerminal(t, 'serve.mjs', [JSON.stringify(argument)], 'in the background')
      const port = await portOf(child)
      await fetch(`http://127.0.0.1:${port}/interrupt`)
      await child.said('left')
      expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('ok')
      expect(await child.ended).toBe(130)
    })
  })

  test('with a registry of another kind that cannot deregister, it says so, closes and ends', async t => {
    const child = aChild(t, 'serve.mjs', JSON.stringify({ name: 'double', double: true }))
    await portOf(child)
    child.kill('SIGTERM')
    expect(await child.ended).toBe('SIGTERM')
    expect(child.lines.slice(1)).toEqual(['"double" could not be deregistered', 'closed'])
  })

  test('SIGINT that is sent by nobody at a terminal waits for the drain delay', async t => {
    const { child, port } = await serving(t, { options: { drainDelay: 1500 } })
    child.kill('SIGINT')
    await child.said('left')
    expect(await (await fetch(`http://127.0.0.1:${port}/`)).text()).toBe('ok')
    expect(await child.ended).toBe('SIGINT')
  })

  test('with signals: false it is none of our business', async t => {
    const { child, keys } = await serving(t, { options: { signals: false } })
    child.kill('SIGTERM')
    expect(await child.ended).toBe('SIGTERM')
    expect(child.lines.slice(1)).toEqual([])
    expect(await keys()).toBe(1)
  })
})
