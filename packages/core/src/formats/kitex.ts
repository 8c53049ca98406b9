import { authorityFor, MOST_WEIGHT, readWeight } from '../instance/instance.ts'
import { decodeInstance } from './decode-instance.ts'
import { type InstanceFormat, made } from './format.ts'
import { checkedOptions, ownProtocol, slashedNamespace, wholeNumber } from './format-options.ts'
import { goJson, goMap } from './go-json.ts'
import { parseObject } from './json-value.ts'
import { idIn, keysByName, slashed } from './keys-by-name.ts'

export interface KitexOptions {
  /** The prefix; default `kitex/registry-etcd`. Some of its constructors leave it empty: then `''`. */
  namespace?: string | undefined
  /** Of the URLs of what is read; default `tcp`. */
  protocol?: string | undefined
  /** The weight that most of the fleet have, and that is our 100; default 10, as Kitex has it. */
  defaultWeight?: number | undefined
}

/** What Go dials over TCP. */
const NETWORKS: ReadonlySet<unknown> = new Set(['tcp', 'tcp4', 'tcp6'])

/**
 * Kitex: `<prefix>/<name>/<id>`, where an id is `host:port` unless it was given, and a JSON value. Weights are scaled, so
 * that neither side's default is more.
 */
export function kitexFormat(options: KitexOptions = {}): InstanceFormat {
  const known = ['namespace', 'protocol', 'defaultWeight'] as const
  const {
    namespace: own,
    protocol: given = 'tcp',
    defaultWeight = 10,
  } = checkedOptions('kitexFormat', options, known)
  const protocol = ownProtocol(given)
  wholeNumber('defaultWeight', defaultWeight, 1, 1_000_000)
  const format: InstanceFormat = {
    name: 'kitex',
    ...slashedNamespace(own, 'kitex/registry-etcd'),
    // Its resolvers list again every 5 s, they watch nothing.
    defaults: { ttl: 60, drainDelay: 6000 },
    capabilities: {
      read: true,
      status: false,
      version: false,
      zone: false,
      weight: weight => (weight * defaultWeight) % 100 === 0,
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
      const fields = {
        network: 'tcp',
        address,
        weight: Math.max(1, Math.round((weight * defaultWeight) / 100)),
        tags,
      }
      return [{ key: `${namespace}/${name}/${id}`, value: goJson(fields) }]
    },

    ...keysByName(slashed),

    decode({ key, value }, context) {
      const id = idIn(key, context, slashed)
      if (id === undefined) return { ignore: true }
      const parsed = parseObject(value)
      if ('skip' in parsed) return parsed
      const { network, address, weight: theirs, tags } = parsed.fields
      if (!NETWORKS.has(network)) return { skip: '"network" is not tcp, tcp4 or tcp6' }
      // Kitex takes its default where there is none.
      const given = readWeight(theirs) ?? 0
      const weight = given > 0 ? scaled((given * 100) / defaultWeight) : 100
      const found = { name: context.name, id, address, protocol }
      return decodeInstance({ ...found, weight, metadata: tags }, key)
    },
  }
  return made(format, protocol, defaultWeight)
}

const scaled = (weight: number): number => Math.min(Math.max(1, Math.round(weight)), MOST_WEIGHT)
