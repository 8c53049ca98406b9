/** All keys that begin with `prefix` (which ends in `/`), or the one `key`. */
export type KeyRange = { prefix: string } | { key: string }
