import { authority } from '../address.ts'
import { isName, isText, makeInstance, parseAuthority } from '../instance.ts'
import type { InstanceFormat } from './index.ts'

export interface PlainOptions {
  /** Write the one key `<namespace>/<name>` instead of `<namespace>/<name>/<id>`; then there is one instance. */
  singleKey?: boolean
}

/** The bare `host:port` under `<namespace>/<name>/<id>`, or under `<namespace>/<name>`; reads both. */
export function plainFormat({ singleKey = false }: PlainOptions = {}): InstanceFormat {
  return {
    name: 'plain',
    capabilities: { status: false, version: false, zone: false, weight: false, metadata: false },

    encode({ id, name, host, port }, { namespace }) {
      return [{ key: `${namespace}/${name}${singleKey ? '' : `/${id}`}`, value: authority(host, port) }]
    },

    root: namespace => `${namespace}/`,

    ranges: (name, namespace) => [{ prefix: `${namespace}/${name}/` }, { key: `${namespace}/${name}` }],

    serviceOf(key, namespace) {
      const name = key.slice(namespace.length + 1).split('/', 1)[0]
      return isName(name) ? name : undefined
    },

    decode({ key, value }, { namespace, name }) {
      const text = value.toString()
      const address = parseAuthority(text)
      if (address === undefined) return { skip: 'not host:port' }
      const id = key.slice(namespace.length + name.length + 2) || text
      if (!isText(id)) return { skip: 'the key has no printable id' }
      return { instance: makeInstance({ ...address, protocol: 'http', id, name }, key) }
    },
  }
}
