import { isUtf8 } from 'node:buffer'
import type { IKeyValue } from 'etcd3'

/** A key as it stands in etcd. Its revision is a number, exact up to 2^53: 285 years at a million writes a second. */
export interface KeyValue {
  /** As `textOf` has it. */
  readonly key: string
  readonly value: Buffer
  /** mod_revision */
  readonly revision: number
  /** create_revision */
  readonly created: number
  /** Id of the lease that it is under, `'0'` for none. */
  readonly lease: string
}

/** One event of a watch. */
export type KeyEvent =
  | ({ readonly type: 'put' } & KeyValue)
  | { readonly type: 'delete'; readonly key: string; readonly revision: number }

/**
 * The same text for the same bytes only. Where they are no UTF-8, each one above 0x7f is half of a surrogate pair, which
 * no UTF-8 gives.
 */
export function textOf(bytes: Buffer, from = 0, to: number = bytes.length): string {
  const text = bytes.toString('utf8', from, to)
  if (!text.includes('\ufffd') || isUtf8(bytes.subarray(from, to))) return text
  return byteByByte(bytes.subarray(from, to))
}

/** As `textOf()` gives bytes that are no UTF-8. */
export function byteByByte(bytes: Buffer): string {
  const half = (byte: string) => String.fromCharCode(0xdc00 + byte.charCodeAt(0))
  return bytes.toString('latin1').replace(/[\u0080-\u00ff]/g, half)
}

export function keyValueOf({ key, value, mod_revision, create_revision, lease }: IKeyValue): KeyValue {
  return {
    key: textOf(key),
    value,
    revision: Number(mod_revision),
    created: Number(create_revision),
    lease: String(lease),
  }
}

/** The first key after all those that begin with `prefix`, which is empty or ends in `/`, so its last byte can be counted up. */
export function prefixEnd(prefix: Buffer): Buffer {
  if (prefix.length === 0) return Buffer.from([0])
  const end = Buffer.from(prefix)
  end[end.length - 1]! += 1
  return end
}
