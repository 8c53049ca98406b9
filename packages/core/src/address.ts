import { createSocket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { isIP, isIPv4, isIPv6 } from 'node:net'
import { networkInterfaces } from 'node:os'
import { EtcdRegisterError } from './errors.ts'

/** Which rule chose the advertised host, in their order of precedence. */
export type AddressRule = 'option' | 'environment' | 'bound' | 'route-to-etcd' | 'only-interface' | 'loopback'

export interface Address {
  host: string
  rule: AddressRule
  /** Only this machine can reach it, and it is not sure that this is meant. */
  local?: boolean
}

export interface AddressSources {
  /** The `host` option. */
  host?: string | undefined
  /** The address that the server's socket is bound to. */
  bound?: string | undefined
  etcdHosts: readonly string[]
  env?: NodeJS.ProcessEnv
  interfaces?: typeof networkInterfaces
}

const HOSTNAME =
  /^(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?$/

/** URLs take a name that ends in a number for an IPv4 address: https://url.spec.whatwg.org/#ends-in-a-number-checker */
const ENDS_IN_NUMBER = /(?:^|\.)(?:\d+|0[xX][0-9a-fA-F]*)\.?$/

/** An IP address without zone and brackets, or a host name. */
export function isHost(value: string): boolean {
  if (isIP(value) > 0) return !value.includes('%')
  return HOSTNAME.test(value) && !ENDS_IN_NUMBER.test(value)
}

/** Every address of the machine: one to bind to, none to be called at. */
export function isWildcard(host: string): boolean {
  return /^[0:.]+$/.test(host) && isIP(host) > 0
}

/** `host:port` with IPv6 in brackets. */
export function authority(host: string, port: number): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`
}

const isLoopback = (host: string) =>
  host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))
const isLinkLocal = (host: string) => host.startsWith('169.254.') || /^fe[89ab]/i.test(host)
const isRoutable = (host: string) =>
  isIP(host) > 0 && !isLoopback(host) && !isWildcard(host) && !isLinkLocal(host)

/** The part of the choice that needs no I/O; `undefined` leaves it to the route to etcd. */
export function knownAddress({ host, bound, env = process.env }: AddressSources): Address | undefined {
  if (host !== undefined) return { host, rule: 'option' }
  for (const name of ['SERVICE_HOST', 'POD_IP', 'HOST_IP']) {
    const value = env[name]?.trim()
    if (!value) continue
    if (!isHost(value) || isWildcard(value)) {
      throw new EtcdRegisterError(
        'ERR_NO_ADDRESS',
        `Environment variable ${name} must be an IP address or a host name that others can reach; got "${value}".`,
      )
    }
    return { host: value, rule: 'environment' }
  }
  if (bound !== undefined && isHost(bound) && !isWildcard(bound) && !isLinkLocal(bound))
    return { host: bound, rule: 'bound' }
  return undefined
}

/** What to show until the address is found. */
export function provisionalHost(sources: AddressSources): string {
  try {
    const known = knownAddress(sources)
    if (known !== undefined) return known.host
  } catch {
    // The registration will say so.
  }
  const addresses = Object.values(networkInterfaces()).flatMap(list => list ?? [])
  return addresses.find(({ internal, family }) => !internal && family === 'IPv4')?.address ?? '127.0.0.1'
}

/**
 * The host to advertise, by guarantee G9. Rejects with `ERR_NO_ADDRESS` where no rule gives one that others could reach.
 */
export async function resolveAddress(sources: AddressSources): Promise<Address> {
  const known = knownAddress(sources)
  const etcdIsHere = sources.etcdHosts.some(etcd => isLoopback(splitHost(etcd).host))
  if (known !== undefined) {
    return known.rule === 'bound' && isLoopback(known.host) && !etcdIsHere ? { ...known, local: true } : known
  }
  for (const etcd of sources.etcdHosts) {
    const { host, port } = splitHost(etcd)
    // A name can have addresses of both families, and this machine a route to one of them only.
    const addresses = await lookup(host, { all: true }).catch(() => [])
    for (const { address } of addresses) {
      const local = await localAddressTowards(address, port)
      if (local !== undefined && isRoutable(local)) return { host: local, rule: 'route-to-etcd' }
    }
  }
  const routable = routableAddresses(sources.interfaces ?? networkInterfaces)
  if (routable.length === 1) return { host: routable[0]!, rule: 'only-interface' }
  if (etcdIsHere) return { host: '127.0.0.1', rule: 'loopback', local: true }
  throw new EtcdRegisterError(
    'ERR_NO_ADDRESS',
    `No address to advertise: ${routable.length === 0 ? 'no interface has a routable address' : `several interfaces could be meant (${routable.join(', ')})`}` +
      ` and none routes to etcd at ${sources.etcdHosts.join(', ')}. Set the option "host" or the environment variable SERVICE_HOST.`,
  )
}

function routableAddresses(interfaces: typeof networkInterfaces): string[] {
  const all = Object.values(interfaces()).flatMap(addresses => addresses ?? [])
  const usable = all.filter(({ internal, address }) => !internal && isRoutable(address))
  const ipv4 = usable.filter(({ family }) => family === 'IPv4')
  return (ipv4.length > 0 ? ipv4 : usable).map(({ address }) => address)
}

/** Connecting a UDP socket asks the kernel for the route and its source address; no packet is sent. */
function localAddressTowards(host: string, port: number): Promise<string | undefined> {
  return new Promise(resolve => {
    const socket = createSocket(isIPv6(host) ? 'udp6' : 'udp4').unref()
    const done = (address?: string) => {
      socket.removeAllListeners()
      socket.on('error', () => {})
      socket.close()
      resolve(address)
    }
    socket.once('error', () => done())
    try {
      socket.connect(port, host, () => done(socket.address().address))
    } catch {
      done()
    }
  })
}

/** Of `http://host:port`, with or without the scheme. A URL leaves out its scheme's own port; a route needs any. */
function splitHost(etcd: string): { host: string; port: number } {
  const url = new URL(etcd.includes('://') ? etcd : `http://${etcd}`)
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port) || 2379 }
}
