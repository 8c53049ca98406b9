import { authority } from '../address.ts'
import { isName } from '../instance.ts'
import { decodeInstance } from './decode-instance.ts'
import type { InstanceFormat } from './format.ts'
import { checkedOptions, fixedNamespace, trueOrFalse } from './format-options.ts'
import { restOf, slashed } from './keys-by-name.ts'

export interface PlainOptions {
  /** Default: that of the registry. */
  namespace?: string
  /** Write the one key `<namespace>/<name>` instead of `<namespace>/<name>/<id>`; then there is one instance. */
  singleKey?: boolean
}

/** The bare `host:port` under `<namespace>/<name>/<id>`, or under `<namespace>/<name>`; reads both. */
export function plainFormat(options: PlainOptions = {}): InstanceFormat {
  const { namespace: own, singleKey: given = false } = checkedOptions('plainFormat', options, [
    'namespace',
    'singleKey',
  ])
  const singleKey = trueOrFalse('singleKey', given)
  return {
    name: 'plain',
    // The readers of tutorials list `/web` for `/web`.
    listsWithoutSlash: true,
    ...fixedNamespace(own),
    capabilities: {
      read: true,
      status: false,
      version: false,
      zone: false,
      weight: false,
      metadata: false,
      endpoints: false,
      protocol: false,
    },

    encode({ id, name, host, port }, { namespace }) {
      return [{ key: `${namespace}/${name}${singleKey ? '' : `/${id}`}`, value: authority(host, port) }]
    },

    root: slashed,

    ranges: (name, namespace) => [{ prefix: `${namespace}/${name}/` }, { key: `${namespace}/${name}` }],

    serviceOf(key, namespace) {
      const name = key.slice(namespace.length + 1).split('/', 1)[0]
      return isName(name) ? name : undefined
    },

    decode({ key, value }, context) {
      const text = value.toString()
      // As go-kit's registrars write it.
      const where = text.includes('://') ? { endpoints: [text] } : { address: text }
      return decodeInstance({ name: context.name, id: restOf(key, context, slashed) || text, ...where }, key)
    },
  }
}
