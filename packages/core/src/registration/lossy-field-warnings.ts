import { isIP } from 'node:net'
import type { Logger } from '../etcd/support/logger.ts'
import { type Capabilities, guarded, type InstanceFormat, type ResolvedFormat } from '../formats/index.ts'
import type { ServiceInstance } from '../instance/instance.ts'

/** What an instance says of itself that a format may not be able to carry. Of a weight of 0 the missing key speaks. */
const SAID = {
  version: ({ version }: ServiceInstance) => version !== '',
  zone: ({ zone }: ServiceInstance) => zone !== '',
  weight: ({ weight }: ServiceInstance) => weight !== 100 && weight !== 0,
  metadata: ({ metadata }: ServiceInstance) => Object.keys(metadata).length > 0,
  endpoints: ({ endpoints }: ServiceInstance) => endpoints.length > 1,
}

function fieldsLost(format: InstanceFormat, instance: ServiceInstance, protocolGiven: boolean): string[] {
  const { capabilities } = format
  const fields: string[] = (Object.keys(SAID) as (keyof typeof SAID)[]).filter(
    field => SAID[field](instance) && !capabilities[field],
  )
  if (isRounded(format, instance)) fields.push('the exact weight')
  const { protocol, endpoints } = instance
  const { protocol: carried = true } = capabilities
  if (carried === false && protocol !== 'http') fields.push('protocol')
  if (typeof carried === 'function' && !guarded(format, 'capabilities.protocol', () => carried(protocol)))
    fields.push(`an instance of protocol ${protocol}`)
  if (capabilities.hostNames === false && isIP(instance.host) === 0)
    fields.push('a host name beside addresses')
  // Of several endpoints the one of what is taken for granted is written.
  const misread = typeof carried === 'string' && !endpoints.some(url => url.startsWith(`${carried}://`))
  if (misread && (protocolGiven || protocol !== 'http')) fields.push(`protocol (read as ${carried})`)
  return fields
}

function isRounded(format: InstanceFormat, { weight }: ServiceInstance): boolean {
  const { weight: carries } = format.capabilities
  if (typeof carries !== 'function' || weight === 0) return false
  return !guarded(format, 'capabilities.weight', () => carries(weight))
}

/** Of the metadata, what the format overwrites with something else. */
function namesLost({ reserved = [] }: Capabilities, instance: ServiceInstance): string[] {
  const { metadata, version, zone, weight, protocol } = instance
  const ours: Record<string, string> = { version, zone, weight: String(weight), protocol }
  return reserved
    .filter(name => name in metadata && metadata[name] !== ours[name])
    .map(name => `metadata.${name}`)
}

/** Warns of what is lost in some of the formats: in one line, and once of each thing. */
export class LossyFieldWarnings {
  readonly #formats: readonly ResolvedFormat[]
  readonly #logger: Logger
  readonly #protocolGiven: boolean
  readonly #told = new Set<string>()

  /** `protocolGiven`: somebody gave it; else `http` is the default. */
  constructor(formats: readonly ResolvedFormat[], logger: Logger, protocolGiven: boolean) {
    this.#formats = formats
    this.#logger = logger
    this.#protocolGiven = protocolGiven
  }

  check(instance: ServiceInstance): void {
    const lines: string[] = []
    for (const { format } of this.#formats) {
      const lost = [
        ...fieldsLost(format, instance, this.#protocolGiven),
        ...namesLost(format.capabilities, instance),
      ].filter(field => !this.#told.has(`${format.name} ${field}`))
      for (const field of lost) this.#told.add(`${format.name} ${field}`)
      if (lost.length > 0) lines.push(`format "${format.name}" cannot carry ${lost.join(', ')}`)
    }
    if (lines.length === 0) return
    const { name } = instance
    this.#logger.warn({ service: name }, `${lines.join('; ')}: readers of "${name}" there will not see it`)
  }
}
