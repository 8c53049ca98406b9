import { authorityFor } from '../instance.ts'
import { decodeInstance } from './decode-instance.ts'
import type { InstanceFormat } from './format.ts'
import { checkedOptions, ownNamespace, ownProtocol } from './format-options.ts'
import { goJson, goMap } from './go-json.ts'
import { parseObject } from './json-value.ts'
import { keysByName, restOf, slashed } from './keys-by-name.ts'

export interface KitexOptions {
  /** The prefix; default `kitex/registry-etcd`. Some of its constructors leave it empty: then `''`. */
  namespace?: string
  /** Of the URLs of what is read; default `tcp`. */
  protocol?: string
}

/** Its default weight is 10, ours 100. */
const WEIGHT = 10

/**
 * Kitex: `<prefix>/<name>/<id>`, where an id is `host:port` unless it was given, and a JSON value. Its weight 10 is ours
 * of 100, so that neither side's default is more.
 */
export function kitexFormat(options: KitexOptions = {}): InstanceFormat {
  const { namespace: own, protocol: given = 'tcp' } = checkedOptions('kitexFormat', options, [
    'namespace',
    'protocol',
  ])
  const protocol = ownProtocol(given)
  return {
    name: 'kitex',
    namespace: ownNamespace(own, 'kitex/registry-etcd'),
    defaults: { ttl: 60 },
    capabilities: {
      read: true,
      status: false,
      version: false,
      zone: false,
      weight: true,
      metadata: true,
      endpoints: false,
      protocol,
    },

    encode(instance, { namespace }) {
      const { id, name, weight, metadata } = instance
      // A weight of 0 would be taken for none given, and get traffic.
      if (weight === 0) return []
      const address = authorityFor(protocol, instance)
      const tags = Object.keys(metadata).length === 0 ? null : goMap(metadata)
      const fields = { network: 'tcp', address, weight: Math.max(1, Math.round(weight / WEIGHT)), tags }
      return [{ key: `${namespace}/${name}/${id}`, value: goJson(fields) }]
    },

    ...keysByName(slashed),

    decode({ key, value }, context) {
      const parsed = parseObject(value)
      if ('skip' in parsed) return parsed
      const { network, address, weight: theirs, tags } = parsed.fields
      if (network !== 'tcp') return { skip: '"network" is not tcp' }
      const weight = typeof theirs === 'number' && theirs > 0 ? Math.min(theirs * WEIGHT, 1000) : 100
      const found = { name: context.name, id: restOf(key, context, slashed), address, protocol }
      return decodeInstance({ ...found, weight, metadata: tags }, key)
    },
  }
}
