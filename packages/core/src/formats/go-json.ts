/** JSON as Go's encoder writes it: a `Map` with sorted keys, an object in its order, and what HTML could misread escaped. */
export function goJson(value: unknown): string {
  return textOf(value).replace(
    /[<>&\u2028\u2029]/g,
    character => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  )
}

/** Sorted by bytes, which an object could not be: there numbers come first. */
export function goMap(pairs: object): Map<string, unknown> {
  return new Map(Object.entries(pairs).sort(([a], [b]) => Buffer.compare(Buffer.from(a), Buffer.from(b))))
}

function textOf(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(textOf).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const entries = value instanceof Map ? [...value] : Object.entries(value)
  return `{${entries.map(([key, member]) => `${JSON.stringify(key)}:${textOf(member)}`).join(',')}}`
}
