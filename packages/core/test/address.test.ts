import { createSocket } from 'node:dgram'
import type { networkInterfaces } from 'node:os'
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { authority, isHost, isWildcard } from '../src/etcd/support/host.ts'
import { type AddressSources, knownAddress, resolveAddress } from '../src/instance/address.ts'

/** Interfaces of a machine, each given as an address; `lo` is always there. */
function machine(...addresses: string[]): typeof networkInterfaces {
  const of = (address: string, internal: boolean) => ({
    address,
    internal,
    family: address.includes(':') ? ('IPv6' as const) : ('IPv4' as const),
    netmask: '',
    mac: '',
    cidr: null,
    scopeid: 0,
  })
  const interfaces = { lo: [of('127.0.0.1', true), of('::1', true)] }
  return () =>
    Object.assign(interfaces, Object.fromEntries(addresses.map((a, i) => [`eth${i}`, [of(a, false)]])))
}

/** etcd is at an address without a name, so that nothing is asked of a name server. */
const etcdHosts = ['127.0.0.1:2379']
const resolve = (sources: Partial<AddressSources>) =>
  resolveAddress({ etcdHosts, env: {}, interfaces: machine('10.0.0.5'), ...sources })

describe('the advertised host, by the first rule that gives one', () => {
  const env = { SERVICE_HOST: '10.1.1.1', POD_IP: '10.2.2.2', HOST_IP: '10.3.3.3' }

  test('1. the option', async () => {
    const sources = { host: 'orders.example.org', env, bound: '10.9.9.9' }
    expect(await resolve(sources)).toEqual({ host: 'orders.example.org', rule: 'option' })
  })

  test('2. SERVICE_HOST, then POD_IP, then HOST_IP; blank ones do not count', async () => {
    const from = (variables: NodeJS.ProcessEnv) => resolve({ env: variables, bound: '10.9.9.9' })
    expect(await from(env)).toEqual({ host: '10.1.1.1', rule: 'environment' })
    expect(await from({ ...env, SERVICE_HOST: ' ' })).toEqual({ host: '10.2.2.2', rule: 'environment' })
    expect(await from({ SERVICE_HOST: '', HOST_IP: ' fd00::7\n' })).toEqual({
      host: 'fd00::7',
      rule: 'environment',
    })
  })

  test.each(['10.0.0.5:8000', '[::1]', 'http://a', 'a b', '0.0.0.0', '::'])(
    'and a variable that holds %j is an error that names it',
    async value => {
      const failure = resolve({ env: { POD_IP: value }, bound: '10.9.9.9' })
      await expect(failure).rejects.toMatchObject({ code: 'ERR_NO_ADDRESS' })
      await expect(failure).rejects.toThrow(
        `POD_IP must be an IP address or a host name that others can reach; got "${value}"`,
      )
    },
  )

  test.each(['10.9.9.9', 'fd00::9', '127.0.0.1'])(
    '3. the address that the socket is bound to: %s',
    async bound => {
      expect(await resolve({ bound })).toEqual({ host: bound, rule: 'bound' })
    },
  )

  test.each(['0.0.0.0', '::', 'fe80::1', '169.254.1.1'])('unless that is %s', async bound => {
    expect((await resolve({ bound })).rule).not.toBe('bound')
    expect(knownAddress({ bound, etcdHosts, env: {} })).toBeUndefined()
  })

  test('4. not the route to etcd where that is loopback: 5. the only routable interface', async () => {
    expect(await resolve({})).toEqual({ host: '10.0.0.5', rule: 'only-interface' })
    expect(await resolve({ etcdHosts: ['[::1]:2379'] })).toEqual({ host: '10.0.0.5', rule: 'only-interface' })
  })

  test('of one interface with both families the IPv4 address, IPv6 where there is no other', async () => {
    const interfaces = machine('fd00::5', 'fe80::5', '169.254.9.9', '10.0.0.5')
    expect(await resolve({ interfaces })).toEqual({ host: '10.0.0.5', rule: 'only-interface' })
    expect(await resolve({ interfaces: machine('fe80::5', 'fd00::5') })).toEqual({
      host: 'fd00::5',
      rule: 'only-interface',
    })
  })

  test('6. loopback, where etcd itself is on this machine', async () => {
    for (const interfaces of [
      machine(),
      machine('169.254.9.9', 'fe80::5'),
      machine('10.0.0.5', '172.17.0.1'),
    ]) {
      expect(await resolve({ interfaces })).toEqual({ host: '127.0.0.1', rule: 'loopback', local: true })
    }
  })

  test('a loopback that the socket is bound to is said to be local, unless etcd is there too', async () => {
    const bound = { host: '127.0.0.1', rule: 'bound' }
    expect(await resolve({ bound: '127.0.0.1', etcdHosts: ['192.0.2.7:2379'] })).toEqual({
      ...bound,
      local: true,
    })
    expect(await resolve({ bound: '127.0.0.1', etcdHosts: ['localhost:2379'] })).toEqual(bound)
  })

  test('else an error with the fix in it', async () => {
    // Nothing routes to a wildcard, and it is not loopback.
    const away = { etcdHosts: ['0.0.0.0:2379'] }
    const several = resolve({ ...away, interfaces: machine('10.0.0.5', '172.17.0.1') })
    await expect(several).rejects.toMatchObject({ code: 'ERR_NO_ADDRESS', retryable: false })
    await expect(several).rejects.toThrow(
      /several interfaces could be meant \(10\.0\.0\.5, 172\.17\.0\.1\) and none routes to etcd at 0\.0\.0\.0:2379\. Set the option "host" or the environment variable SERVICE_HOST/,
    )
    await expect(resolve({ ...away, interfaces: machine() })).rejects.toThrow(
      'no interface has a routable address',
    )
    const refuses = () => {
      throw new Error('uv_interface_addresses returned error 13')
    }
    const unsaid = resolve({ ...away, interfaces: refuses })
    await expect(unsaid).rejects.toMatchObject({ code: 'ERR_NO_ADDRESS' })
    await expect(unsaid).rejects.toThrow(
      'The system does not say which addresses this machine has: Error: uv_interface_addresses returned error 13. Set the option "host"',
    )
  })
})

describe('asking for the route to etcd', () => {
  const received: unknown[] = []
  const listener = createSocket('udp4', message => received.push(message))

  beforeAll(() => new Promise<void>(resolve => listener.bind(0, '127.0.0.1', resolve)))
  afterAll(() => new Promise<void>(resolve => listener.close(() => resolve())))

  test('sends nothing, and gets along with hosts that have no address', async () => {
    const { port } = listener.address()
    const hosts = [`127.0.0.1:${port}`, 'no-such-host.invalid:2379', '[::1]:2379']
    expect(await resolve({ etcdHosts: hosts })).toEqual({ host: '10.0.0.5', rule: 'only-interface' })
    expect(received).toEqual([])
  })
})

test.each([
  ['10.0.0.5', true],
  ['::1', true],
  ['fe80::1', true],
  ['localhost', true],
  ['orders', true],
  ['orders.default.svc.cluster.local', true],
  ['my_host', true],
  ['3com.example', true],
  [`${'a.'.repeat(125)}com`, true],
  [`${'a.'.repeat(125)}info`, false],
  ['fe80::1%eth0', false],
  ['[::1]', false],
  ['', false],
  ['a b', false],
  ['a..b', false],
  ['-a', false],
  ['a/b', false],
  ['a:1', false],
  ['a@b', false],
  ['ä.example', false],
  [`${'a'.repeat(63)}.example`, true],
  [`${'a'.repeat(64)}.example`, false],
  ['a-.example', false],
  ['a.-b', false],
  ['a.', true],
  ['a..', false],
  ['.', false],
  ['xn--mnchen-3ya.example', true],
  ['xn--a', false],
  ['XN--A.example', false],
  ['orders.xn--', false],
  ['256.1.1.1', false],
  ['1.2.3', false],
  ['127.1', false],
  ['0x7f000001', false],
  ['1234567890', false],
])('is %j a host that a URL can hold: %s', (host, expected) => {
  expect(isHost(host)).toBe(expected)
  // What we take for a host, a URL takes for the same one.
  if (expected)
    expect(new URL(`http://${authority(host, 80)}/`).hostname).toBe(authority(host, 80).slice(0, -3))
})

test.each([
  ['0.0.0.0', true],
  ['::', true],
  ['0:0:0:0:0:0:0:0', true],
  ['::0.0.0.0', true],
  ['::ffff:0.0.0.0', true],
  ['::FFFF:0:0', true],
  ['0:0:0:0:0:ffff:0.0.0.0', true],
  ['0.0.0.1', false],
  ['::1', false],
  ['::ffff:0:1', false],
  ['::ffff:10.0.0.5', false],
  ['ffff::', false],
  ['::ffff:0:0:0', false],
  ['f', false],
])('is %s every address of the machine: %s', (host, expected) => {
  expect(isWildcard(host)).toBe(expected)
})

test('IPv6 stands in brackets before a port', () => {
  expect(authority('10.0.0.5', 80)).toBe('10.0.0.5:80')
  expect(authority('fd00::5', 80)).toBe('[fd00::5]:80')
  expect(authority('orders', 80)).toBe('orders:80')
})
