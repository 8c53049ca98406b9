/** Reads through these cost as many steps as there are own properties. */
const OVER_PROPERTIES = ['assign', 'keys', 'values', 'entries', 'freeze'] as const

/**
 * Properties that are read, listed or copied while `run` works on what `JSON.parse` gave: what a decode costs, whatever
 * the machine. `run` is synchronous.
 */
export function workOf(run: () => void): number {
  let steps = 0
  const seen = new WeakMap<object, object>()
  const counted = <T>(value: T): T => {
    if (typeof value !== 'object' || value === null) return value
    const known = seen.get(value)
    if (known !== undefined) return known as T
    const proxy = new Proxy(value, {
      get(target, property) {
        steps += 1
        return counted(Reflect.get(target, property))
      },
      has(target, property) {
        steps += 1
        return Reflect.has(target, property)
      },
      ownKeys(target) {
        const keys = Reflect.ownKeys(target)
        steps += keys.length
        return keys
      },
      getOwnPropertyDescriptor(target, property) {
        steps += 1
        return Reflect.getOwnPropertyDescriptor(target, property)
      },
    })
    seen.set(value, proxy)
    return proxy
  }
  const restore = [
    replaced(
      JSON,
      'parse',
      parse =>
        (...args: Parameters<typeof parse>) =>
          counted(parse(...args)),
    ),
    ...OVER_PROPERTIES.map(method =>
      replaced(Object as unknown as Methods, method, original => (...args: unknown[]) => {
        for (const arg of args) steps += typeof arg === 'object' && arg !== null ? sizeOf(arg) : 0
        return original(...args)
      }),
    ),
    replaced(Object, 'fromEntries', fromEntries => (entries: Iterable<readonly [PropertyKey, unknown]>) => {
      const list = [...entries]
      steps += list.length
      return fromEntries(list)
    }),
  ]
  try {
    run()
  } finally {
    for (const back of restore) back()
  }
  return steps
}

type Methods = Record<string, (...args: unknown[]) => unknown>

const sizeOf = (value: object): number => Reflect.ownKeys(value).length

function replaced<Owner extends object, Name extends keyof Owner>(
  owner: Owner,
  name: Name,
  by: (original: Owner[Name]) => unknown,
): () => void {
  const original = owner[name]
  owner[name] = by(original) as Owner[Name]
  return () => {
    owner[name] = original
  }
}
