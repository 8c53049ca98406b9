import { createHash } from 'node:crypto'
import { authority } from '../address.ts'
import type { InstanceFormat } from './format.ts'
import { checkedOptions, separateNamespace } from './format-options.ts'
import { writeOnly } from './write-only.ts'

export interface TraefikOptions {
  /** The `rootKey` of its etcd provider; default `traefik`. */
  namespace?: string | undefined
}

/** What Traefik calls them. */
const SCHEMES: ReadonlyMap<string, string> = new Map([
  ['grpc', 'h2c'],
  ['grpcs', 'https'],
])

/**
 * Traefik: the URL of a server under `traefik/http/services/<name>/loadbalancer/servers/<n>/url`. Write only; the router
 * is yours to write. Traefik does not mind gaps between the numbers, so each id has one of its own.
 */
export function traefikFormat(options: TraefikOptions = {}): InstanceFormat {
  const { namespace: own } = checkedOptions('traefikFormat', options, ['namespace'])
  return {
    name: 'traefik',
    namespace: separateNamespace(own, 'traefik'),
    // It takes a new configuration at most every 2 s (providersThrottleDuration).
    defaults: { drainDelay: 3000 },
    ...writeOnly({ weight: false, protocol: true }),

    encode({ id, name, host, port, protocol }, { namespace }) {
      const number = createHash('sha256').update(id).digest().readUIntBE(0, 6)
      const key = `${namespace}/http/services/${name}/loadbalancer/servers/${number}/url`
      return [{ key, value: `${SCHEMES.get(protocol) ?? protocol}://${authority(host, port)}` }]
    },
  }
}
