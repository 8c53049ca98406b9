import { authority } from '../etcd/support/host.ts'
import { isName } from '../instance/instance.ts'
import { bareAddress } from './bare-address.ts'
import { decodeInstance } from './decode-instance.ts'
import { type InstanceFormat, made } from './format.ts'
import { checkedOptions, fixedNamespace, trueOrFalse } from './format-options.ts'
import { idIn, slashed } from './keys-by-name.ts'

export interface PlainOptions {
  /** Default: that of the registry. */
  namespace?: string | undefined
  /** Write the one key `<namespace>/<name>` instead of `<namespace>/<name>/<id>`; then there is one instance. */
  singleKey?: boolean | undefined
}

/** The bare `host:port` under `<namespace>/<name>/<id>`, or under `<namespace>/<name>`; reads both. */
export function plainFormat(options: PlainOptions = {}): InstanceFormat {
  const { namespace: own, singleKey: given = false } = checkedOptions('plainFormat', options, [
    'namespace',
    'singleKey',
  ])
  const singleKey = trueOrFalse('singleKey', given)
  const format: InstanceFormat = {
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
      const [name, ...ids] = key.slice(namespace.length + 1).split('/', 3)
      return isName(name) && ids.length < 2 ? name : undefined
    },

    decode({ key, value }, context) {
      const id = idIn(key, context, slashed)
      if (id === undefined) return { ignore: true }
      const text = bareAddress(value)
      // As go-kit's registrars write it.
      const where = text.includes('://') ? { endpoints: [text] } : { address: text }
      return decodeInstance({ name: context.name, ...(id !== '' && { id }), ...where }, key)
    },
  }
  return made(format, singleKey)
}
