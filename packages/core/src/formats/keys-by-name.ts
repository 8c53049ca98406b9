import { isName } from '../instance.ts'
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
      const [name, rest] = key.slice(root(namespace).length).split('/', 2)
      return isName(name) && rest !== undefined ? name : undefined
    },
  }
}

/** What follows the name. */
export function restOf(
  key: string,
  { namespace, name }: { namespace: string; name: string },
  root: Root,
): string {
  return key.slice(root(namespace).length + name.length + 1)
}
