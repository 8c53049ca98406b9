import { type InspectOptions, inspect } from 'node:util'

interface Described {
  /** Plain data without a secret. */
  toJSON(): object
}

/** For all objects of a class: `util.inspect` and `console.log` show what `toJSON()` gives, under this name. */
export function inspectAs(name: string, prototype: Described): void {
  Object.defineProperty(prototype, inspect.custom, {
    value(this: Described, depth: number, options: InspectOptions): string {
      return depth < 0 ? `[${name}]` : `${name} ${inspect(this.toJSON(), { ...options, depth })}`
    },
  })
}
