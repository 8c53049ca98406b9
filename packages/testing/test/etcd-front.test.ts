import { existsSync } from 'node:fs'
import { createServer } from 'node:net'
import {
  type EtcdFront,
  type EtcdMember,
  startEtcdBinary,
  startEtcdGateway,
  startFaultProxy,
  startGrpcProxy,
} from '@etcd-register/testing'
import { credentials } from '@grpc/grpc-js'
import { afterAll, beforeAll, describe, expect, onTestFinished, test, vi } from 'vitest'
import { freePort } from '../src/free-port.ts'
import { folderOf, isAlive } from './process-files.ts'
import { etcdClient } from './support/etcd-client.ts'

let etcd: EtcdMember

beforeAll(async () => {
  etcd = await startEtcdBinary()
})
afterAll(() => etcd.stop())

/** A client that is closed with the test. */
function open(endpoint: string, channel = credentials.createInsecure()) {
  const client = etcdClient(endpoint, channel)
  onTestFinished(() => client.close())
  return client
}

describe.each([
  ['grpc-proxy', startGrpcProxy],
  ['gateway', startEtcdGateway],
] as const)('%s', (kind, start) => {
  let front: EtcdFront

  beforeAll(async () => {
    front = await start(etcd)
  })
  afterAll(() => front.stop())

  test('passes calls and watches on to the etcd', async () => {
    expect(front.endpoint).toBe(`http://127.0.0.1:${front.port}`)
    const client = open(front.endpoint)
    const watch = client.stream('Watch')
    watch.send({ create_request: { key: kind } })
    expect((await watch.next()).created).toBe(true)
    await open(etcd.endpoint).call('Put', { key: kind, value: 'x' })
    expect((await watch.next()).events).toHaveLength(1)
  })

  test('is gone when it is killed, and comes back on the same port', async () => {
    const { pid, endpoint } = front
    await front.kill()
    expect(front.pid).toBeUndefined()
    await expect(open(endpoint).call('Range', { key: 'a' })).rejects.toMatchObject({ code: 14 })
    await front.restart()
    expect([front.endpoint, front.pid === pid]).toEqual([endpoint, false])
    await open(endpoint).call('Range', { key: 'a' })
  })

  test('takes connections and passes nothing while it is frozen', async () => {
    const client = open(front.endpoint)
    await client.call('Range', { key: 'a' })
    await front.freeze()
    await expect(client.call('Range', { key: 'a' }, undefined, 200)).rejects.toMatchObject({ code: 4 })
    const patient = client.call('Range', { key: 'a' })
    front.thaw()
    await patient
  })

  test('starts in front of an etcd that cannot be reached', async () => {
    await using link = await startFaultProxy(etcd)
    await link.cut()
    await using lonely = await start(link)
    expect(isAlive(lonely.pid!)).toBe(true)
  })

  test('logs, and takes further arguments; a wrong one is an error with what it said', async () => {
    const debug = vi.fn()
    await using logged = await start([etcd.endpoint], { logger: { debug } })
    expect(debug).toHaveBeenCalledWith({ etcd: logged.endpoint }, expect.stringContaining('"level":"info"'))
    expect(logged.log).not.toEqual([])
    await expect(start(etcd.endpoint, { args: ['--no-such-flag'] })).rejects.toThrow('no-such-flag')
  })

  test('a fixed port is used, and one that is taken is an error with the reason', async () => {
    const port = await freePort()
    const server = createServer()
    await new Promise<void>(resolve => server.listen(port, '127.0.0.1', resolve))
    await expect(start(etcd, { port })).rejects.toThrow('address already in use')
    await new Promise(resolve => server.close(resolve))
    await using fixed = await start(etcd, { port })
    expect(fixed.port).toBe(port)
  })

  test('leaves no process and no folder when it is stopped, also while it is frozen', async () => {
    const stopping = await start(etcd)
    const pid = stopping.pid!
    // only the grpc-proxy has one
    const folder = kind === 'grpc-proxy' ? folderOf(pid) : undefined
    await stopping.freeze()
    await stopping.stop()
    await stopping.stop()
    expect(isAlive(pid)).toBe(false)
    if (folder !== undefined) expect(existsSync(folder)).toBe(false)
    await expect(stopping.restart()).rejects.toThrow('stopped')
  })
})

test('a grpc-proxy speaks TLS to an etcd that asks for certificates, and none to its clients', async () => {
  await using secure = await startEtcdBinary({ tls: { clientCerts: true } })
  await using front = await startGrpcProxy(secure)
  expect(front.endpoint).toMatch(/^http:/)
  await open(front.endpoint).call('Put', { key: 'a', value: 'b' })
})

test('a gateway passes TLS through', async () => {
  await using secure = await startEtcdBinary({ tls: { clientCerts: true } })
  await using front = await startEtcdGateway(secure)
  const { ca, cert, key } = secure.tls!
  const channel = credentials.createSsl(Buffer.from(ca), Buffer.from(key), Buffer.from(cert))
  await open(front.endpoint, channel).call('Put', { key: 'a', value: 'b' })
})

test('a fault proxy can stand between a grpc-proxy and its etcd, and before it', async () => {
  await using behind = await startFaultProxy(etcd)
  await using front = await startGrpcProxy(behind)
  await using before = await startFaultProxy(front)
  await open(before.endpoint).call('Put', { key: 'through', value: 'all' })
  expect(behind.bytes.up).toBeGreaterThan(0)
  expect(before.bytes.down).toBeGreaterThan(0)
})
