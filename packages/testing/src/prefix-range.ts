/** Every key that starts with the prefix, as etcd wants it: the end is exclusive, and a zero byte where there is none. */
export function prefixRange(prefix: string): { key: Buffer; range_end: Buffer } {
  const key = prefix === '' ? Buffer.from([0]) : Buffer.from(prefix)
  const end = Buffer.from(key)
  let last = end.length - 1
  while (last >= 0 && end[last] === 0xff) last--
  if (prefix === '' || last < 0) return { key, range_end: Buffer.from([0]) }
  end[last] = end[last]! + 1
  return { key, range_end: end.subarray(0, last + 1) }
}
