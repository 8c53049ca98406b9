import { authorityFor } from '../instance/instance.ts'
import { bareAddress } from './bare-address.ts'
import { decodeInstance } from './decode-instance.ts'
import { type InstanceFormat, made } from './format.ts'
import { bareNamespace, checkedOptions, ownProtocol } from './format-options.ts'
import { bare, idIn, keysByName } from './keys-by-name.ts'

export interface GoZeroOptions {
  /** What `Etcd.Key` has before the name, such as `prod` for `prod/user.rpc`, or `/` for `/user.rpc`; default nothing. */
  namespace?: string | undefined
  /** Of the URLs of what is read; default `grpc`, as go-zero's RPC services are. */
  protocol?: string | undefined
}

/**
 * go-zero: `<name>/<lease id>`, and the bare `host:port` as the value. An instance whose id is a number has that instead
 * of the lease, as `Etcd.ID`. The address says who it is, since a new lease is a new key.
 */
export function goZeroFormat(options: GoZeroOptions = {}): InstanceFormat {
  const { namespace: own, protocol: given = 'grpc' } = checkedOptions('goZeroFormat', options, [
    'namespace',
    'protocol',
  ])
  const protocol = ownProtocol(given)
  const format: InstanceFormat = {
    name: 'go-zero',
    namespace: bareNamespace(own),
    defaults: { ttl: 10 },
    identity: 'address',
    capabilities: {
      read: true,
      status: false,
      version: false,
      zone: false,
      weight: false,
      metadata: false,
      endpoints: false,
      protocol,
    },

    encode(instance, { namespace, leaseId }) {
      const { id, name } = instance
      const number = /^[1-9]\d{0,17}$/.test(id) ? id : leaseId
      return [{ key: `${bare(namespace)}${name}/${number}`, value: authorityFor(protocol, instance) }]
    },

    ...keysByName(bare),

    decode({ key, value }, context) {
      if (idIn(key, context, bare) === undefined) return { ignore: true }
      return decodeInstance({ name: context.name, address: bareAddress(value), protocol }, key)
    },
  }
  return made(format, protocol)
}
