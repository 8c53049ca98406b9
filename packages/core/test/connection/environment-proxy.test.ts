import { execFile } from 'node:child_process'
import { type AddressInfo, createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { type EtcdMember, startEtcdBinary } from '@etcd-register/testing'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'

const app = fileURLToPath(new URL('../fixtures/proxied.mjs', import.meta.url))
const password = 'pa55word-of-orders'

let etcd: EtcdMember
let secure: EtcdMember

beforeAll(async () => {
  const role = { prefix: '/services/', permission: 'readwrite' } as const
  const auth = { rootPassword: 'pa55word-of-root', users: [{ name: 'orders', password, role }] }
  ;[etcd, secure] = await Promise.all([startEtcdBinary({ auth }), startEtcdBinary({ auth, tls: true })])
})

afterAll(() => Promise.all([etcd?.stop(), secure?.stop()]))

/** A proxy that takes every CONNECT and every request, and keeps all bytes that it is sent. */
async function aProxy(t: { onTestFinished(stop: () => void): void }) {
  const seen = { connections: 0, bytes: '' }
  const proxy = createServer(socket => {
    seen.connections += 1
    socket.on('error', () => {})
    socket.once('data', () => socket.write('HTTP/1.1 200 Connection established\r\n\r\n'))
    socket.on('data', bytes => {
      seen.bytes += bytes.toString('latin1')
    })
  })
  await new Promise<void>(resolve => proxy.listen(0, '127.0.0.1', resolve))
  t.onTestFinished(() => void proxy.close())
  return { seen, url: `http://somebody:secret@127.0.0.1:${(proxy.address() as AddressInfo).port}` }
}

describe.concurrent('etcd is not reached through a proxy of the environment', () => {
  test.for([
    'http_proxy',
    'https_proxy',
    'grpc_proxy',
    'HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, all_proxy',
    'http_proxy, no_proxy',
    'https_proxy, NODE_USE_ENV_PROXY',
  ])('%s', async (variables, t) => {
    const names = variables.split(', ')
    const { seen, url } = await aProxy(t)
    const values: Record<string, string> = { no_proxy: 'example.org', NODE_USE_ENV_PROXY: '1' }
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [app], {
      env: {
        ETCD_ENDPOINTS: etcd.endpoint,
        ETCD_USERNAME: 'orders',
        ETCD_PASSWORD: password,
        ...Object.fromEntries(names.map(name => [name, values[name] ?? url])),
      },
    })
    expect({ stdout, stderr, ...seen }).toEqual({
      ...{ stdout: 'registered\n', stderr: '' },
      ...{ connections: 0, bytes: '' },
    })
  })

  test.for(['https_proxy', 'http_proxy', 'grpc_proxy', 'ALL_PROXY'])(
    '%s, with etcd over TLS',
    async (name, t) => {
      const { seen, url } = await aProxy(t)
      const { stdout, stderr } = await promisify(execFile)(process.execPath, [app], {
        env: {
          ETCDCTL_ENDPOINTS: secure.endpoint,
          ETCDCTL_USER: `orders:${password}`,
          ETCDCTL_CACERT: secure.tls!.ca,
          [name]: url,
          NODE_USE_ENV_PROXY: '1',
        },
      })
      expect({ stdout, stderr, ...seen }).toEqual({
        ...{ stdout: 'registered\n', stderr: '' },
        ...{ connections: 0, bytes: '' },
      })
    },
  )

  test.for(['http_proxy', 'https_proxy', 'all_proxy', 'grpc_proxy'])(
    '%s, while etcd cannot be reached: nothing goes to the proxy instead',
    async (name, t) => {
      const { seen, url } = await aProxy(t)
      const env = { ETCD_ENDPOINTS: 'etcd.invalid:2379', ETCDCTL_USER: `orders:${password}`, [name]: url }
      const failing = promisify(execFile)(process.execPath, [app, 'one try'], { env })
      const { stdout } = await failing
      expect({ stdout, ...seen }).toEqual({ stdout: 'ERR_ETCD_UNAVAILABLE\n', connections: 0, bytes: '' })
    },
  )

  test.for(['socks5://127.0.0.1:1', 'not a URL'])('http_proxy=%s', async proxy => {
    const { stdout, stderr } = await promisify(execFile)(process.execPath, [app], {
      env: {
        ETCD_ENDPOINTS: etcd.endpoint,
        ETCD_USERNAME: 'orders',
        ETCD_PASSWORD: password,
        http_proxy: proxy,
      },
    })
    expect({ stdout, stderr }).toEqual({ stdout: 'registered\n', stderr: '' })
  })
})
