import { expect, test } from 'vitest'
import { quoted, shown } from '../src/etcd/support/text.ts'

test('what is harmless stays as it is, in any script', () => {
  for (const text of ['', 'orders/10.0.0.1:8000', 'größe, 名前, 🦊', 'a "b" \\c'])
    expect(shown(text)).toBe(text)
})

test.each([
  ['ESC and line breaks', '\u001b[2J\r\n', '\\u001b[2J\\u000d\\u000a'],
  ['DEL and C1 controls', '\u007f\u0080\u009b', '\\u007f\\u0080\\u009b'],
  ['overrides of the direction', 'a\u202eb\u2066c\u200f', 'a\\u202eb\\u2066c\\u200f'],
  ['line and paragraph separators', '\u2028\u2029', '\\u2028\\u2029'],
  ['what is not seen', '\u200b\ufeff\u00ad', '\\u200b\\ufeff\\u00ad'],
  ['a tag character, which has two units', '\u{e0041}', '\\udb40\\udc41'],
  ['half of a surrogate pair', '\ud83e', '\\ud83e'],
])('escapes %s', (_, text, wanted) => {
  expect(shown(text)).toBe(wanted)
})

test('shows 200 characters at most', () => {
  expect(shown('x'.repeat(200))).toBe('x'.repeat(200))
  expect(shown('x'.repeat(600_000))).toBe(`${'x'.repeat(200)}...`)
  expect(shown(`${'x'.repeat(199)}🦊`)).toBe(`${'x'.repeat(199)}\\ud83e...`)
})

test('in quotes, quotes and backslashes are escaped too', () => {
  expect(quoted('a "b" \\c\u001b')).toBe('"a \\"b\\" \\\\c\\u001b"')
})
