/** A value that is an address and nothing else. What `echo` or a file brought into etcd ends in a line break. */
export function bareAddress(value: Buffer): string {
  return value.toString().trim()
}
