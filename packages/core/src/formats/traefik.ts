import { createHash } from 'node:crypto'
import { invalidOption } from '../etcd/support/errors.ts'
import { authority } from '../etcd/support/host.ts'
import type { InstanceFormat } from './format.ts'
import { checkedOptions, separateNamespace, trueOrFalse } from './format-options.ts'
import { writeOnly } from './write-only.ts'

export interface TraefikOptions {
  /** The `rootKey` of its etcd provider; default `traefik`. */
  namespace?: string | undefined
  /** Write weights, which Traefik 2 takes for an error in the whole configuration. Default true. */
  weight?: boolean | undefined
}

/** What Traefik calls the protocols that it speaks to servers. */
const SCHEMES: ReadonlyMap<string, string> = new Map([
  ['http', 'http'],
  ['https', 'https'],
  ['h2c', 'h2c'],
  ['grpc', 'h2c'],
  ['grpcs', 'https'],
])

/**
 * Traefik: the URL and the weight of a server under `traefik/http/services/<name>/loadbalancer/servers/<n>/`. Write only;
 * the router is yours to write. Traefik does not mind gaps between the numbers, so each id has one of its own.
 */
export function traefikFormat(options: TraefikOptions = {}): InstanceFormat {
  const { namespace: own, weight: weighted = true } = checkedOptions('traefikFormat', options, [
    'namespace',
    'weight',
  ])
  if (typeof own === 'string' && /^\/|\/$/.test(own))
    throw invalidOption('namespace', 'the rootKey of Traefik, which begins and ends without a slash', own)
  const carriesWeight = trueOrFalse('weight', weighted)
  return {
    name: 'traefik',
    namespace: separateNamespace(own, 'traefik'),
    // It takes a new configuration at most every 2 s (providersThrottleDuration).
    defaults: { drainDelay: 3000 },
    ...writeOnly({ weight: carriesWeight, protocol: protocol => SCHEMES.has(protocol) }),

    encode({ id, name, host, port, protocol, weight }, { namespace }) {
      // It merges names that differ by case, and takes one of digits for a place in a list.
      if (/^\d+$/.test(name) || name !== name.toLowerCase()) {
        throw invalidOption('name', 'in lower case and not of digits alone for the format "traefik"', name)
      }
      const scheme = SCHEMES.get(protocol)
      if (scheme === undefined || weight === 0) return []
      const number = createHash('sha256').update(id).digest().readUIntBE(0, 6)
      const server = `${namespace}/http/services/${name}/loadbalancer/servers/${number}`
      const url = { key: `${server}/url`, value: `${scheme}://${authority(host, port)}` }
      return carriesWeight ? [url, { key: `${server}/weight`, value: String(weight) }] : [url]
    },
  }
}
