import { authorityFor, type InstanceFields, isWeight } from '../instance.ts'
import { decodeInstance } from './decode-instance.ts'
import type { InstanceFormat } from './format.ts'
import { bareNamespace, checkedOptions, ownProtocol, trueOrFalse } from './format-options.ts'
import { goJson, goMap } from './go-json.ts'
import { parseObject } from './json-value.ts'
import { bare, cut, keysByName, restOf } from './keys-by-name.ts'

export interface GrpcOptions {
  /** What a target has before the name, such as `my` for `etcd:///my/orders`, or `/` for a slash; default nothing. */
  namespace?: string
  /**
   * Write weight, zone, version and metadata as `Metadata`. Off by default: grpc-go clients with etcd's resolver of 3.4
   * to 3.6 panic over it ("comparing uncomparable type", "hash of unhashable type").
   */
  metadata?: boolean
  /** Of the URLs of what is read; default `grpc`. */
  protocol?: string
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
  return {
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
      reserved: withMetadata ? ['version', 'zone', 'weight'] : [],
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
      const parsed = parseObject(value)
      if ('skip' in parsed) return parsed
      const fields = parsed.fields
      const address = fieldOf(fields, 'Addr')
      if ((fieldOf(fields, 'Op') ?? 0) !== 0) return { skip: '"Op" is not 0' }
      const { version, zone, weight, ...others } = objectOf(fieldOf(fields, 'Metadata'))
      const found = { name: context.name, id: restOf(key, context, root), address, protocol }
      const details = { version: textOr(version), zone: textOr(zone), weight: weightOr(weight) }
      return decodeInstance({ ...found, ...details, metadata: stringsOf(others) }, key)
    },
  }
}

/** As Go's decoder does: the case of a name does not count, the last one does, and `null` says nothing. */
function fieldOf(fields: Record<string, unknown>, name: string): unknown {
  const isIt = (key: string) => key.toLowerCase() === name.toLowerCase() && fields[key] !== null
  const found = Object.keys(fields).findLast(isIt)
  return found === undefined ? undefined : fields[found]
}

/** `null` where there is nothing to say. */
function metadataOf({ metadata, version, zone, weight }: InstanceFields): object | null {
  const said = Object.assign(Object.create(null), metadata, {
    ...(version !== '' && { version }),
    ...(zone !== '' && { zone }),
    ...(weight !== 100 && { weight }),
  })
  return Object.keys(said).length === 0 ? null : goMap(said)
}

// Metadata is anything that a Go service likes: what does not fit is left aside, and the address counts all the same.
const objectOf = (value: unknown): Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)
    ? (value as Record<string, unknown>)
    : {}
const textOr = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined)
const weightOr = (value: unknown): number | undefined => (isWeight(value) ? value : undefined)
const stringsOf = (pairs: Record<string, unknown>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(pairs).filter((pair): pair is [string, string] => typeof pair[1] === 'string'),
  )
