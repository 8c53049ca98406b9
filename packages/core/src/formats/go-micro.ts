import { authority, isPort } from '../etcd/support/host.ts'
import { isProtocol, parseAuthority } from '../instance/instance.ts'
import { decodeInstance } from './decode-instance.ts'
import { type InstanceFormat, made } from './format.ts'
import { checkedOptions, ownNamespace } from './format-options.ts'
import { goJson, goMap } from './go-json.ts'
import { parseObject } from './json-value.ts'
import { idIn, keysByName, slashed } from './keys-by-name.ts'
import { uuidOf } from './uuid.ts'

export interface GoMicroOptions {
  /** Default `/micro/registry`; very old go-micro has `/micro-registry`. */
  namespace?: string | undefined
}

const dashed = (name: string): string => name.replaceAll('/', '-')

/** Whether a name or an id of theirs stands as this in the key; what is no string does not. */
const standsAs = (part: string, name: unknown): boolean => typeof name === 'string' && dashed(name) === part

/** go-micro: `/micro/registry/<name>/<node id>`, slashes in both replaced by `-`; the value is a service with one node. */
export function goMicroFormat(options: GoMicroOptions = {}): InstanceFormat {
  const { namespace: own } = checkedOptions('goMicroFormat', options, ['namespace'])
  const format: InstanceFormat = {
    name: 'go-micro',
    namespace: ownNamespace(own, '/micro/registry'),
    defaults: { ttl: 90, id: ({ name, address }) => `${name}-${uuidOf(`${name}/${address}`)}` },
    capabilities: {
      read: true,
      status: false,
      version: true,
      zone: false,
      weight: false,
      metadata: true,
      endpoints: false,
      reserved: ['broker', 'protocol', 'registry', 'server', 'transport'],
    },

    encode({ id, name, version, host, port, protocol, metadata: pairs }, { namespace }) {
      // As its own servers say of themselves: only gRPC is a transport of its own.
      const transport = protocol === 'grpc' ? protocol : 'http'
      const about = { ...pairs, broker: 'http', protocol, registry: 'etcd', server: protocol, transport }
      const nodes = [{ metadata: goMap(about), id, address: authority(host, port) }]
      const fields = {
        name,
        version: version === '' ? 'latest' : version,
        metadata: null,
        endpoints: [],
        nodes,
      }
      return [{ key: `${namespace}/${name}/${dashed(id)}`, value: goJson(fields) }]
    },

    // Its caches keep nodes by version and id.
    isAnother: (found, value) => versionIn(found) !== versionIn(Buffer.from(value)),

    ...keysByName(slashed),

    decode({ key, value }, context) {
      const keyId = idIn(key, context, slashed)
      if (keyId === undefined) return { ignore: true }
      const parsed = parseObject(value)
      if ('skip' in parsed) return parsed
      const { name } = context
      const { name: service, version, nodes } = parsed.fields
      if (!standsAs(name, service)) return { skip: '"name" is not the name of the service' }
      if (!Array.isArray(nodes) || nodes.some(isNothing)) {
        return { skip: '"nodes" is not a list of nodes' }
      }
      const node = nodes.find(({ id }) => standsAs(keyId, id)) ?? nodes[0]
      if (node === undefined) return { skip: '"nodes" is empty' }
      const { id: named, metadata } = node as Record<string, unknown>
      // As in their keys: an id has no slash.
      const id = typeof named === 'string' ? dashed(named) : null
      const { protocol } = (metadata ?? {}) as { protocol?: unknown }
      const found = { name, id, address: addressOf(node as Record<string, unknown>), version, metadata }
      return decodeInstance({ ...found, protocol: isProtocol(protocol) ? protocol : 'http' }, key)
    },
  }
  return made(format)
}

function versionIn(value: Buffer): unknown {
  const parsed = parseObject(value)
  return 'skip' in parsed ? undefined : parsed.fields.version
}

/** With the port, which go-micro of the time of `/micro-registry` has beside the host. */
function addressOf({ address, port }: Record<string, unknown>): unknown {
  if (typeof address !== 'string' || !isPort(port) || parseAuthority(address) !== undefined) return address
  return authority(address.replace(/^\[|\]$/g, ''), port)
}

const isNothing = (value: unknown): boolean => typeof value !== 'object' || value === null
