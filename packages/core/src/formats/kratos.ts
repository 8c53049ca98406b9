import { readWeight } from '../instance/instance.ts'
import { decodeInstance } from './decode-instance.ts'
import { type InstanceFormat, made } from './format.ts'
import { checkedOptions, slashedNamespace } from './format-options.ts'
import { goJson, goMap } from './go-json.ts'
import { parseObject } from './json-value.ts'
import { idIn, keysByName, slashed } from './keys-by-name.ts'
import { uuidOf } from './uuid.ts'

export interface KratosOptions {
  /** As in `etcd.Namespace()`; default `/microservices`. */
  namespace?: string | undefined
}

/** Kratos: `<namespace>/<name>/<id>`, a JSON value whose weight is in `metadata.weight`. */
export function kratosFormat(options: KratosOptions = {}): InstanceFormat {
  const { namespace: own } = checkedOptions('kratosFormat', options, ['namespace'])
  const format: InstanceFormat = {
    name: 'kratos',
    listsWithoutSlash: true,
    ...slashedNamespace(own, '/microservices'),
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

    decode({ key, value }, context) {
      if (idIn(key, context, slashed) === undefined) return { ignore: true }
      const { name } = context
      const parsed = parseObject(value)
      if ('skip' in parsed) return parsed
      const { id = null, name: named, version, metadata, endpoints = null } = parsed.fields
      if (named !== name) return { skip: '"name" is not the name of the service' }
      const weight = kratosWeight(metadata)
      const urls = kratosEndpoints(endpoints)
      return decodeInstance({ id, name, version, metadata, endpoints: urls, weight }, key)
    },
  }
  return made(format)
}

/** Of `metadata.weight`, 100 where it says none. */
export function kratosWeight(metadata: unknown): number {
  const { weight } = (metadata ?? {}) as { weight?: unknown }
  return readWeight(weight) ?? 100
}

/** Kratos 2.1 to 2.3 says of TLS in a query: `grpc://10.0.0.5:9000?isSecure=true` is `grpcs://10.0.0.5:9000`. */
export function kratosEndpoints(endpoints: unknown): unknown {
  return Array.isArray(endpoints) && endpoints.some(hasQuery) ? endpoints.map(withScheme) : endpoints
}

const hasQuery = (endpoint: unknown): boolean => typeof endpoint === 'string' && endpoint.includes('?')

/** As Go's `strconv.ParseBool` has it. */
const TRUE: ReadonlySet<string | null> = new Set(['1', 't', 'T', 'true', 'TRUE', 'True'])
const SECURE: ReadonlySet<string> = new Set(['https', 'grpcs', 'wss'])

function withScheme(endpoint: unknown): unknown {
  if (typeof endpoint !== 'string') return endpoint
  const query = /^[^?#]*\?([^#]*)/.exec(endpoint)?.[1]
  if (query === undefined || !TRUE.has(new URLSearchParams(query).get('isSecure'))) return endpoint
  const scheme = endpoint.slice(0, endpoint.indexOf(':'))
  return SECURE.has(scheme) ? endpoint : `${scheme}s${endpoint.slice(scheme.length)}`
}

function withWeight(metadata: Readonly<Record<string, string>>, weight: number): Record<string, string> {
  return Object.assign(Object.create(null), metadata, { weight: String(weight) })
}
