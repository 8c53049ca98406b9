import { decodeInstance } from './decode-instance.ts'
import type { InstanceFormat } from './format.ts'
import { checkedOptions, ownNamespace } from './format-options.ts'
import { goJson, goMap } from './go-json.ts'
import { parseObject } from './json-value.ts'
import { keysByName, slashed } from './keys-by-name.ts'
import { uuidOf } from './uuid.ts'

export interface KratosOptions {
  /** As in `etcd.Namespace()`; default `/microservices`. */
  namespace?: string
}

/** Kratos: `<namespace>/<name>/<id>`, a JSON value whose weight is in `metadata.weight`. */
export function kratosFormat(options: KratosOptions = {}): InstanceFormat {
  const { namespace: own } = checkedOptions('kratosFormat', options, ['namespace'])
  return {
    name: 'kratos',
    listsWithoutSlash: true,
    namespace: ownNamespace(own, '/microservices'),
    defaults: { ttl: 15, id: ({ name, address }) => uuidOf(`${name}/${address}`) },
    capabilities: {
      read: true,
      status: false,
      version: true,
      zone: false,
      weight: true,
      metadata: true,
      endpoints: true,
      reserved: ['weight'],
    },

    encode({ id, name, version, metadata, endpoints, weight }, { namespace }) {
      // Kratos would still call one of weight 0.
      if (weight === 0) return []
      // Kratos takes 100 where there is none.
      const weighted = weight === 100 && !('weight' in metadata)
      const fields = {
        id,
        name,
        version,
        metadata: goMap(weighted ? metadata : withWeight(metadata, weight)),
        endpoints,
      }
      return [{ key: `${namespace}/${name}/${id}`, value: goJson(fields) }]
    },

    ...keysByName(slashed),

    decode({ key, value }, { name }) {
      const parsed = parseObject(value)
      if ('skip' in parsed) return parsed
      const { id, name: named, version, metadata, endpoints = null } = parsed.fields
      if (named !== name) return { skip: '"name" is not the name of the service' }
      return decodeInstance({ id, name, version, metadata, endpoints, weight: kratosWeight(metadata) }, key)
    },
  }
}

/** Of `metadata.weight`, 100 where it says none. */
export function kratosWeight(metadata: unknown): number {
  const { weight } = (metadata ?? {}) as { weight?: unknown }
  return typeof weight === 'string' && /^\d+$/.test(weight) ? Math.min(Number(weight), 1000) : 100
}

function withWeight(metadata: Readonly<Record<string, string>>, weight: number): Record<string, string> {
  return Object.assign(Object.create(null), metadata, { weight: String(weight) })
}
