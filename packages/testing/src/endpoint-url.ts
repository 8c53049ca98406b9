import { defaultHosts } from './certificates.ts'
import type { EtcdTlsOptions } from './etcd-options.ts'

/** Addresses that can be reached as `localhost`. */
const HERE: ReadonlySet<string> = new Set(['127.0.0.1', '::1', '0.0.0.0', '::'])

/**
 * URL for clients of what listens on that address. With TLS it is `localhost`: an address must not be sent as TLS server
 * name, gRPC sends it all the same, and Node refuses that from 26 on. A certificate that has the address and not
 * `localhost` is for the address.
 */
export function endpointUrl(address: string, port: number, tls?: EtcdTlsOptions): string {
  const host = tls !== undefined && HERE.has(address) && !isForAddress(address, tls) ? 'localhost' : address
  return `${tls === undefined ? 'http' : 'https'}://${host.includes(':') ? `[${host}]` : host}:${port}`
}

function isForAddress(address: string, { server: { hosts = defaultHosts } = {} }: EtcdTlsOptions): boolean {
  return hosts.includes(address) && !hosts.includes('localhost')
}

/** URL for clients of what listens on 127.0.0.1 and passes TLS through to the target: they check the target's certificate. */
export function urlHere({ protocol, hostname }: URL, port: number): string {
  const named = protocol === 'https:' && hostname === 'localhost'
  return `${protocol}//${named ? hostname : '127.0.0.1'}:${port}`
}
