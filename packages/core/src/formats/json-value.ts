/** The fields of a JSON object, or why there are none. Never throws. */
export function parseObject(value: Buffer): { fields: Record<string, unknown> } | { skip: string } {
  let parsed: unknown
  try {
    parsed = JSON.parse(value.toString())
  } catch {
    return { skip: 'not JSON' }
  }
  if (typeof parsed !== 'object' || parsed === null) return { skip: 'not a JSON object' }
  return { fields: parsed as Record<string, unknown> }
}
