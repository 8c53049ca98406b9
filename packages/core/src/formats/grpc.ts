import {
  authorityFor,
  type InstanceFields,
  isLabel,
  isPairValue,
  MOST_PAIRS,
  readWeight,
} from '../instance/instance.ts'
import { decodeInstance, pairText } from './decode-instance.ts'
import { type InstanceFormat, made } from './format.ts'
import { bareNamespace, checkedOptions, ownProtocol, trueOrFalse } from './format-options.ts'
import { goJson, goMap } from './go-json.ts'
import { parseObject } from './json-value.ts'
import { bare, cut, idIn, keysByName } from './keys-by-name.ts'

export interface GrpcOptions {
  /** What a target has before the name, such as `my` for `etcd:///my/orders`, or `/` for a slash; default nothing. */
  namespace?: string | undefined
  /**
   * Write weight, zone, version and metadata as `Metadata`. Off by default: grpc-go clients with etcd's resolver up
   * to 3.5.23 and 3.6.5 panic over it ("comparing uncomparable type", "hash of unhashable type").
   */
  metadata?: boolean | undefined
  /** Of the URLs of what is read; default `grpc`. */
  protocol?: string | undefined
}

/**
 * etcd's own `naming/endpoints`, and `clientv3/naming` before it: `<target>/<id>`, where the name is the target and an id
 * is `host:port` unless it was given.
 */
export function grpcFormat(options: GrpcOptions = {}): InstanceFormat {
  const known = ['namespace', 'metadata', 'protocol'] as const
  const {
    namespace: own,
    metadata = false,
    protocol: given = 'grpc',
  } = checkedOptions('grpcFormat', options, known)
  const withMetadata = trueOrFalse('metadata', metadata)
  // gRPC cuts the slash at the start of a target; who gives one here has a reason.
  const root = own === undefined ? cut : bare
  const protocol = ownProtocol(given)
  const format: InstanceFormat = {
    name: 'grpc',
    namespace: bareNamespace(own),
    capabilities: {
      read: true,
      status: false,
      version: withMetadata,
      zone: withMetadata,
      weight: withMetadata,
      metadata: withMetadata,
      endpoints: false,
      protocol,
      reserved: withMetadata ? [...OWN] : [],
    },

    encode(instance, { namespace }) {
      const { name, id, weight } = instance
      // Go clients do not see a weight of 0.
      if (weight === 0) return []
      const value = {
        Op: 0,
        Addr: authorityFor(protocol, instance),
        Metadata: withMetadata ? metadataOf(instance) : null,
      }
      return [{ key: `${root(namespace)}${name}/${id}`, value: goJson(value) }]
    },

    ...keysByName(root),

    decode({ key, value }, context) {
      const id = idIn(key, context, root)
      if (id === undefined) return { ignore: true }
      const parsed = parseObject(value)
      if ('skip' in parsed) return parsed
      // `Op` is of the time when updates were values, too: Go clients do not look at it.
      const { addr: address, metadata } = fieldsOf(parsed.fields)
      const said = objectOf(metadata)
      const details = {
        version: labelOf(said.version),
        zone: labelOf(said.zone),
        weight: readWeight(said.weight),
      }
      const found = { name: context.name, id, address, protocol, ...details }
      return decodeInstance({ ...found, metadata: pairsOf(said, details) }, key)
    },
  }
  return made(format, withMetadata, protocol, own === undefined)
}

/** What we make of the metadata ourselves. */
const OWN: ReadonlySet<string> = new Set(['version', 'zone', 'weight'])

/** As Go's decoder does: the case of a name does not count, the last one does, and `null` says nothing. */
function fieldsOf(fields: Record<string, unknown>): Partial<Record<'addr' | 'metadata', unknown>> {
  const found: Partial<Record<'addr' | 'metadata', unknown>> = {}
  for (const key of Object.keys(fields)) {
    const name = key.toLowerCase()
    const value = fields[key]
    if ((name === 'addr' || name === 'metadata') && value !== null) found[name] = value
  }
  return found
}

/** `null` where there is nothing to say. A default is said where a pair of the metadata would be taken for it. */
function metadataOf({ metadata, version, zone, weight }: InstanceFields): object | null {
  const said = Object.assign(Object.create(null), metadata, {
    ...((version !== '' || 'version' in metadata) && { version }),
    ...((zone !== '' || 'zone' in metadata) && { zone }),
    ...((weight !== 100 || 'weight' in metadata) && { weight }),
  })
  return Object.keys(said).length === 0 ? null : goMap(said)
}

// Metadata is anything that a Go service likes: what does not fit is left aside, and the address counts all the same.
const objectOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {}

function labelOf(value: unknown): string | undefined {
  const text = pairText(value)
  return isLabel(text) ? text : undefined
}

type Details = Partial<Record<string, string | number>>

/**
 * What fits of the metadata, and is not among the details already as it stands there; nothing of it where there are more
 * pairs than an instance may have.
 */
function pairsOf(said: Record<string, unknown>, details: Details): Record<string, string> {
  const names = Object.keys(said)
  if (names.length > MOST_PAIRS + OWN.size) return {}
  const pairs: Record<string, string> = Object.create(null)
  for (const name of names) {
    const text = pairText(said[name])
    const used = OWN.has(name) && String(details[name]) === text
    if (!used && isLabel(name) && isPairValue(text)) pairs[name] = text
  }
  return Object.keys(pairs).length > MOST_PAIRS ? {} : pairs
}
