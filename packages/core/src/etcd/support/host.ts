import { isIP, isIPv4, isIPv6 } from 'node:net'
import { domainToUnicode } from 'node:url'

export const isPort = (value: unknown): value is number =>
  Number.isInteger(value) && (value as number) >= 1 && (value as number) <= 65_535

/** A label of a host name. Names of services have underscores. */
const HOST_LABEL = /^(?!-)[A-Za-z0-9_-]{1,63}(?<!-)$/

const LONGEST_NAME = 253

/** URLs take a name that ends in a number for an IPv4 address: https://url.spec.whatwg.org/#ends-in-a-number-checker */
const ENDS_IN_NUMBER = /(?:^|\.)(?:\d+|0x[0-9a-f]*)\.?$/i

/** An IP address without zone and brackets, or a host name. */
export function isHost(value: string): boolean {
  if (isIP(value) > 0) return !value.includes('%')
  if (value.length > LONGEST_NAME) return false
  const labels = value.replace(/\.$/, '').split('.')
  if (!labels.every(label => HOST_LABEL.test(label)) || ENDS_IN_NUMBER.test(value)) return false
  // Punycode that stands for nothing is found by no resolver.
  return labels.every(label => !PUNYCODE.test(label) || isPunycode(label))
}

const PUNYCODE = /^xn--/i

/** For what stands for nothing, `domainToUnicode()` gives `''`, or from Node 26 on the label itself. */
function isPunycode(label: string): boolean {
  const text = domainToUnicode(label)
  return text !== '' && !PUNYCODE.test(text)
}

/** Every address of the machine: one to bind to, none to be called at. */
export function isWildcard(host: string): boolean {
  return /^[0:.f]+$/i.test(host) && ['0.0.0.0', '::'].includes(canonicalHost(host))
}

/** The same text for each way to write a host: an IPv4 address within an IPv6 one is itself, a name is in lower case. */
export function canonicalHost(host: string): string {
  if (!isIPv6(host)) return host.toLowerCase().replace(/\.$/, '')
  const address = new URL(`x://[${host}]`).hostname.slice(1, -1)
  const mapped = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(address)
  if (mapped === null) return address
  return mapped
    .slice(1)
    .map(part => Number.parseInt(part, 16))
    .flatMap(part => [part >> 8, part & 0xff])
    .join('.')
}

/** `host:port` with IPv6 in brackets. */
export function authority(host: string, port: number): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`
}

export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))

/** Whether `host:port` is on this machine, as far as its name says. */
export function isHere(etcd: string): boolean {
  return isLoopback(splitHost(etcd).host)
}

/** Of `http://host:port`, with or without the scheme. A URL leaves out its scheme's own port; a route needs any. */
export function splitHost(etcd: string): { host: string; port: number } {
  const url = new URL(etcd.includes('://') ? etcd : `http://${etcd}`)
  return { host: url.hostname.replace(/^\[|\]$/g, ''), port: Number(url.port) || 2379 }
}
