/** Characters of a text from outside that are shown, at most. */
const MOST = 200

/** Control and format characters, line separators, and halves of surrogate pairs: they change the text around them. */
const HARMFUL = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu

/** Whether UTF-8 can say it: it has no half of a surrogate pair. */
export function isWellFormed(text: string): boolean {
  return !/\p{Cs}/u.test(text)
}

/**
 * A text from outside (a key, a value, the words of a server, the environment) as it may stand in a log line, an error or
 * a table: at most 200 characters of it, control and format characters as `\u001b`.
 */
export function shown(text: string): string {
  return cut(text).replace(HARMFUL, escaped)
}

/** The same in double quotes. */
export function quoted(text: string): string {
  const inner = cut(text).replace(/["\\]/g, '\\$&').replace(HARMFUL, escaped)
  return `"${inner}"`
}

/** A URL, or a list of them, without what can be secret in it: a user and a password, what stands for a port, a query. */
export function masked(text: string): string {
  const scheme = /^\s*(?:[\w+.-]*:\/\/)?/.exec(text)![0]
  // A password can have any of the characters that end the parts of a URL.
  const at = text.lastIndexOf('@')
  if (at > -1 && text.lastIndexOf(':', at) > -1) return `${scheme}***${text.slice(at).replace(QUERY, '?...')}`
  if (!scheme.includes('://')) return text
  const rest = text.slice(scheme.length).replace(NO_PORT, '$1***')
  return `${scheme}${rest.replace(QUERY, '?...')}`
}

/** After a host, or none, and a colon. */
const NO_PORT = /^((?:\[[^\]]*\]|[^:/[\]]*):)(?!\d{1,5}(?:[,/?#\s]|$)).+$/s
export const QUERY: RegExp = /[?#].*/s

const cut = (text: string): string => (text.length > MOST ? `${text.slice(0, MOST)}...` : text)

/** One character, which can be two UTF-16 units. */
function escaped(character: string): string {
  const units = Array.from({ length: character.length }, (_, i) => character.charCodeAt(i))
  return units.map(unit => `\\u${unit.toString(16).padStart(4, '0')}`).join('')
}
