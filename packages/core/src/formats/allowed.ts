import { authority, canonicalHost } from '../etcd/support/host.ts'
import type { Allow, Endpoint, ServiceInstance } from '../instance/instance.ts'
import { makeInstance, parseEndpoint } from '../instance/instance.ts'
import type { DecodedInstance } from './format.ts'

/** An instance with the endpoints that `allow` lets through; the first of them is its address. Never throws. */
export function allowed(instance: ServiceInstance, allow: Allow): Exclude<DecodedInstance, { ignore: true }> {
  const { endpoints, host, port, protocol, key } = instance
  try {
    const kept = endpoints.flatMap(url => parseEndpoint(url) ?? []).filter(place => isAllowed(place, allow))
    const own = isAllowed({ host, port, protocol }, allow)
    if (own && kept.length === endpoints.length) return { instance }
    const [first] = kept
    if (first === undefined) return { skip: `the option "allow" refuses ${authority(host, port)}` }
    const place = { host: first.host, port: first.port, protocol: first.protocol }
    return { instance: makeInstance({ ...instance, ...place, endpoints: kept.map(({ url }) => url) }, key) }
  } catch (error) {
    return { skip: `the option "allow" threw: ${error instanceof Error ? error.message : typeof error}` }
  }
}

/** A promise, say, is neither `true` nor `false`, and lets nobody through. */
function isAllowed({ host, port, protocol }: Endpoint, allow: Allow): boolean {
  const answer: unknown = allow({ host: canonicalHost(host), port, protocol })
  if (typeof answer !== 'boolean') throw new TypeError(`it gave ${typeof answer}, not true or false`)
  return answer
}
