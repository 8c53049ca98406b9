import { isName, isText, isWeight, makeInstance, parseEndpoint } from '../instance.ts'
import type { InstanceStatus } from '../types.ts'
import type { Decoded, InstanceFormat } from './index.ts'

const VERSION = 1
const STATUSES: readonly unknown[] = ['up', 'leaving', 'suspended']
const MOST_ENDPOINTS = 32

const skip = (reason: string): Decoded => ({ skip: reason })

/**
 * Our own: `<namespace>/<name>/<id>`, the value a superset of what Kratos writes, so that its readers understand it.
 * Reads Kratos' values too: there the weight is in `metadata.weight`.
 */
export function jsonFormat(): InstanceFormat {
  return {
    name: 'json',
    capabilities: { status: true, version: true, zone: true, weight: true, metadata: true },

    encode(instance, { namespace }) {
      const { id, name, version, metadata, endpoints, zone, weight, status } = instance
      const value = JSON.stringify({
        id,
        name,
        version,
        metadata,
        endpoints,
        zone,
        weight,
        status,
        format: VERSION,
      })
      return [{ key: `${namespace}/${name}/${id}`, value }]
    },

    root: namespace => `${namespace}/`,

    ranges: (name, namespace) => [{ prefix: `${namespace}/${name}/` }],

    serviceOf(key, namespace) {
      const [name, id] = key.slice(namespace.length + 1).split('/', 2)
      return isName(name) && id !== undefined ? name : undefined
    },

    decode({ key, value }, { name }) {
      let fields: unknown
      try {
        fields = JSON.parse(value.toString())
      } catch {
        return skip('not JSON')
      }
      if (typeof fields !== 'object' || fields === null) return skip('not a JSON object')
      const {
        id,
        name: named,
        version = '',
        metadata: pairs,
        endpoints,
        zone = '',
        weight: own,
        status = 'up',
      } = fields as Record<string, unknown>
      if (named !== name) return skip('"name" is not the name of the service')
      if (!isText(id)) return skip('"id" is not a line of text')
      if (typeof version !== 'string') return skip('"version" is not a string')
      if (typeof zone !== 'string') return skip('"zone" is not a string')
      if (!STATUSES.includes(status)) return skip('"status" is not one of up, leaving, suspended')
      const metadata = pairs ?? {}
      if (!isStrings(metadata)) return skip('"metadata" is not an object of strings')
      const weight = own ?? kratosWeight(metadata)
      if (!isWeight(weight)) return skip('"weight" is not a whole number from 0 to 1000')
      if (!Array.isArray(endpoints) || endpoints.length > MOST_ENDPOINTS) {
        return skip(`"endpoints" is not a list of up to ${MOST_ENDPOINTS} URLs`)
      }
      const parsed = endpoints.map(endpoint =>
        typeof endpoint === 'string' ? parseEndpoint(endpoint) : undefined,
      )
      const first = parsed[0]
      if (first === undefined || parsed.includes(undefined)) {
        return skip('"endpoints" is not a list of URLs such as http://10.0.0.5:8000')
      }
      const instance = makeInstance(
        {
          ...first,
          id,
          name,
          version,
          zone,
          weight,
          metadata,
          endpoints: endpoints.map(trimmed),
          status: status as InstanceStatus,
        },
        key,
      )
      return { instance }
    },
  }
}

function isStrings(value: unknown): value is Record<string, string> {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  for (const key of Object.keys(value))
    if (typeof (value as Record<string, unknown>)[key] !== 'string') return false
  return true
}

/** Without a path or a query, such as the `?isSecure=false` of old Kratos. */
function trimmed(endpoint: string): string {
  const rest = endpoint.indexOf('://') + 3
  const end = endpoint.slice(rest).search(/[/?#]/)
  return end < 0 ? endpoint : endpoint.slice(0, rest + end)
}

function kratosWeight({ weight = '' }: Record<string, string>): number {
  return /^\d+$/.test(weight) ? Math.min(Number(weight), 1000) : 100
}
