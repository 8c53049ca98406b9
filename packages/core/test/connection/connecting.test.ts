import { afterEach, beforeEach, expect, it, vi } from 'vitest'
import { Connecting, type Connector } from '../../src/etcd/client/connecting.ts'

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

/** What gRPC calls a connector, here without a network. Attempts are numbered from 0. */
function aConnector(holdsLease: boolean) {
  const attempts: { signal: AbortSignal; connected(): void; failed(): void; disconnected(): void }[] = []
  const connector = {
    connect: ({ signal }: { signal: AbortSignal }) =>
      new Promise((resolve, reject) => {
        let disconnected = () => {}
        const session = {
          number: attempts.length,
          shutdown: () => {},
          addDisconnectListener: (listener: () => void) => {
            disconnected = listener
          },
        }
        attempts.push({
          signal,
          connected: () => resolve(session),
          failed: () => reject(new Error('refused')),
          disconnected: () => disconnected(),
        })
        signal.addEventListener('abort', () => reject(new Error('aborted')))
      }),
  } as unknown as Connector
  const connecting = new Connecting(connector, { holdsLease: () => holdsLease, established: () => {} })
  /** The number of the attempt that came through, or why none did. */
  const connect = () =>
    connecting.connect({}, { connect: async () => {} }, {}).then(
      session => (session as unknown as { number: number }).number,
      (error: Error) => error.message,
    )
  const open = () => attempts.flatMap(({ signal }, number) => (signal.aborted ? [] : [number]))
  return { attempts, connecting, connect, open }
}

const SILENT = 'no TCP connection within 2.5 s'

/** As gRPC does it: each call that fails is followed by another one. */
async function connectFor(ms: number, connect: () => Promise<unknown>): Promise<void> {
  let over = false
  const again = async () => {
    while (!over) await connect()
  }
  void again()
  await vi.advanceTimersByTimeAsync(ms)
  over = true
}

it('while a lease runs, another attempt begins at least once a second', async () => {
  const { attempts, connect } = aConnector(true)
  await connectFor(30_000, connect)
  expect(attempts.length).toBeGreaterThanOrEqual(30)
})

it('without a lease, attempts get fewer: 3 s apart at most', async () => {
  const { attempts, connect } = aConnector(false)
  await connectFor(30_000, connect)
  expect(attempts.length).toBeGreaterThanOrEqual(10)
  expect(attempts.length).toBeLessThanOrEqual(15)
})

it('four attempts are open at most, the first one among them until its 20 s are over', async () => {
  const { open, connect } = aConnector(true)
  await connectFor(10_000, connect)
  expect(open()).toHaveLength(4)
  expect(open()[0]).toBe(0)
  await vi.advanceTimersByTimeAsync(10_001)
  expect(open()).not.toContain(0)
})

it('a call in which an attempt failed reports that, and not that the others are silent', async () => {
  const { attempts, connect } = aConnector(true)
  const first = connect()
  await vi.advanceTimersByTimeAsync(1000)
  attempts[0]!.failed()
  await vi.advanceTimersByTimeAsync(1501)
  expect(await first).toBe('refused')
  const next = connect()
  await vi.advanceTimersByTimeAsync(2501)
  expect(await next).toBe(SILENT)
})

it('an attempt that is given up for others is no failure', async () => {
  const { attempts, open, connect } = aConnector(true)
  await connectFor(6000, connect)
  expect(open().length).toBeLessThan(attempts.length)
  const seen = new Set<unknown>()
  await connectFor(6000, async () => void seen.add(await connect()))
  expect([...seen]).toEqual([SILENT])
})

it('an attempt that comes through after the call has failed is given to the next one', async () => {
  const { attempts, connect, open } = aConnector(true)
  const first = connect()
  await vi.advanceTimersByTimeAsync(2501)
  expect(await first).toBe(SILENT)
  attempts[1]!.connected()
  await vi.advanceTimersByTimeAsync(0)
  expect(await connect()).toBe(1)
  await vi.advanceTimersByTimeAsync(0)
  expect(open()).toEqual([1])
})

it('one that is disconnected before the next call is not given to it', async () => {
  const { attempts, connect } = aConnector(true)
  const first = connect()
  await vi.advanceTimersByTimeAsync(2501)
  await first
  attempts[1]!.connected()
  await vi.advanceTimersByTimeAsync(0)
  attempts[1]!.disconnected()
  const second = connect()
  await vi.advanceTimersByTimeAsync(100)
  attempts[2]!.connected()
  expect(await second).toBe(2)
})

it('fails at once when the only attempt does, and begins anew with the next call', async () => {
  const { attempts, connect } = aConnector(true)
  const first = connect()
  attempts[0]!.failed()
  expect(await first).toBe('refused')
  void connect()
  expect(attempts).toHaveLength(2)
})

it('once it is canceled nothing is open, and no other attempt begins', async () => {
  const { attempts, connect, connecting, open } = aConnector(true)
  const call = connect()
  await vi.advanceTimersByTimeAsync(1000)
  connecting.cancel()
  expect(await call).toBe('the connection was closed')
  await vi.advanceTimersByTimeAsync(10_000)
  expect(attempts).toHaveLength(2)
  expect(open()).toEqual([])
})
