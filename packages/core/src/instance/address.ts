import { createSocket } from 'node:dgram'
import { lookup } from 'node:dns/promises'
import { isIP, isIPv6 } from 'node:net'
import { type NetworkInterfaceInfo, networkInterfaces } from 'node:os'
import { EtcdRegisterError } from '../etcd/support/errors.ts'
import { isHere, isHost, isLoopback, isWildcard, splitHost } from '../etcd/support/host.ts'
import { masked, quoted, shown } from '../etcd/support/text.ts'

/** Which rule chose the advertised host, in their order of precedence. */
export type AddressRule = 'option' | 'environment' | 'bound' | 'route-to-etcd' | 'only-interface' | 'loopback'

/** Rules by which the address can become another one while the process lives. */
export const MOVING_RULES: ReadonlySet<AddressRule> = new Set(['route-to-etcd', 'only-interface', 'loopback'])

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
        `Environment variable ${name} must be an IP address or a host name that others can reach; got ${quoted(masked(value))}.`,
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
    const addresses = addressesOf(networkInterfaces)
    const routed = addresses.find(({ internal, family }) => !internal && family === 'IPv4')
    if (routed !== undefined) return routed.address
  } catch {
    // The registration will say so.
  }
  return '127.0.0.1'
}

/**
 * The host to advertise, by guarantee G9. Rejects with `ERR_NO_ADDRESS` where no rule gives one that others could reach.
 */
export async function resolveAddress(sources: AddressSources): Promise<Address> {
  const known = knownAddress(sources)
  const etcdIsHere = sources.etcdHosts.some(isHere)
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

/** The addresses of this machine, cached for one turn of the event loop: to list them takes half a millisecond. */
let ownAddresses: ReadonlySet<string> | undefined

/** Whether an interface of this machine has this address; true where the system does not say. Cached for one turn of the event loop. */
export function isOwnAddress(host: string): boolean {
  if (ownAddresses === undefined) {
    try {
      ownAddresses = new Set(addressesOf(networkInterfaces).map(({ address }) => address))
    } catch {
      return true
    }
    setImmediate(() => {
      ownAddresses = undefined
    })
  }
  return ownAddresses.has(host)
}

/** Throws `ERR_NO_ADDRESS` where the system does not say them, as in some sandboxes. */
function addressesOf(interfaces: typeof networkInterfaces): NetworkInterfaceInfo[] {
  try {
    return Object.values(interfaces()).flatMap(addresses => addresses ?? [])
  } catch (cause) {
    const text = `The system does not say which addresses this machine has: ${shown(String(cause))}.`
    const way = 'Set the option "host" or the environment variable SERVICE_HOST.'
    throw new EtcdRegisterError('ERR_NO_ADDRESS', `${text} ${way}`, { cause })
  }
}

function routableAddresses(interfaces: typeof networkInterfaces): string[] {
  const usable = addressesOf(interfaces).filter(({ internal, address }) => !internal && isRoutable(address))
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
