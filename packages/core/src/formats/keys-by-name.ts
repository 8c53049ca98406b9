import { isName } from '../instance/instance.ts'
import type { InstanceFormat } from './format.ts'

/** How keys begin in a namespace, up to the slash before the name. */
export type Root = (namespace: string) => string

/** `/services/`; without a namespace `/`. */
export const slashed: Root = namespace => `${namespace}/`

/** `services/`; without a namespace nothing, and of `/` a slash. */
export const bare: Root = namespace => (namespace === '' || namespace === '/' ? namespace : `${namespace}/`)

/** As `bare`, and never with a slash at the start. */
export const cut: Root = namespace => bare(namespace.replace(/^\//, ''))

/** Of keys `<root><name>/<whatever>`. */
export function keysByName(root: Root): Pick<InstanceFormat, 'root' | 'ranges' | 'serviceOf'> {
  return {
    root,
    ranges: (name, namespace) => [{ prefix: `${root(namespace)}${name}/` }],
    serviceOf(key, namespace) {
      const [name, ...ids] = key.slice(root(namespace).length).split('/', 3)
      return isName(name) && ids.length === 1 ? name : undefined
    },
  }
}

/** What follows the name; `undefined` where that has a slash: a key of something else, since an id has none. */
export function idIn(
  key: string,
  { namespace, name }: { namespace: string; name: string },
  root: Root,
): string | undefined {
  const id = key.slice(root(namespace).length + name.length + 1)
  return id.includes('/') ? undefined : id
}
