import { decodeInstance } from './decode-instance.ts'
import { type InstanceFormat, made } from './format.ts'
import { checkedOptions, fixedNamespace } from './format-options.ts'
import { parseObject } from './json-value.ts'
import { idIn, keysByName, slashed } from './keys-by-name.ts'
import { kratosEndpoints, kratosWeight } from './kratos.ts'

const VERSION = 1

export interface JsonOptions {
  /** Default: that of the registry. */
  namespace?: string | undefined
}

/**
 * Our own: `<namespace>/<name>/<id>`, the value a superset of what Kratos writes, so that its readers understand it.
 * Reads Kratos' values too: there the weight is in `metadata.weight`.
 */
export function jsonFormat(options: JsonOptions = {}): InstanceFormat {
  const { namespace: own } = checkedOptions('jsonFormat', options, ['namespace'])
  const format: InstanceFormat = {
    name: 'json',
    ...fixedNamespace(own),
    capabilities: {
      read: true,
      status: true,
      version: true,
      zone: true,
      weight: true,
      metadata: true,
      endpoints: true,
    },

    encode({ id, name, version, metadata, endpoints, zone, weight, status }, { namespace }) {
      const fields = { id, name, version, metadata, endpoints, zone, weight, status, format: VERSION }
      return [{ key: `${namespace}/${name}/${id}`, value: JSON.stringify(fields) }]
    },

    ...keysByName(slashed),

    decode({ key, value }, context) {
      if (idIn(key, context, slashed) === undefined) return { ignore: true }
      const { name } = context
      const parsed = parseObject(value)
      if ('skip' in parsed) return parsed
      const { id = null, name: named, version, metadata, endpoints = null, zone, status } = parsed.fields
      if (named !== name) return { skip: '"name" is not the name of the service' }
      const weight = parsed.fields.weight ?? kratosWeight(metadata)
      const urls = kratosEndpoints(endpoints)
      return decodeInstance({ id, name, version, metadata, endpoints: urls, zone, weight, status }, key)
    },
  }
  return made(format)
}
