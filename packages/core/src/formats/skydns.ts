import { createHash } from 'node:crypto'
import { invalidOption } from '../etcd/support/errors.ts'
import type { InstanceFormat } from './format.ts'
import { checkedOptions, separateNamespace, trueOrFalse, wholeNumber } from './format-options.ts'
import { goJson } from './go-json.ts'
import { writeOnly } from './write-only.ts'

export interface SkydnsOptions {
  /** The `path` of CoreDNS' etcd plugin; default `/skydns`. */
  namespace?: string | undefined
  /** The zone that it serves; default `skydns.local`: `orders` is at `orders.skydns.local`. */
  domain?: string | undefined
  /** Of the records, in seconds; default 10. CoreDNS cuts it to the rest of the lease, or to 30 where that is less. */
  ttl?: number | undefined
  /** Of the SRV records; default 10, as CoreDNS has it. */
  priority?: number | undefined
  /** Of records at different depths those of the first one's group are answered: not of instances. Default none. */
  group?: string | undefined
  /** Also among the MX records; default false. */
  mail?: boolean | undefined
  /** Labels to cut from the target of an SRV record, 0 to 126; default 0. */
  targetstrip?: number | undefined
}

const LONGEST_LABEL = 63
const HOST_LABEL = /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/
const DOMAIN = /^[A-Za-z0-9_-]{1,63}(\.[A-Za-z0-9_-]{1,63}){0,15}$/

/**
 * CoreDNS: `/skydns/<domain backwards>/<name>/<id>`, a JSON value, for A, AAAA and SRV. Write only. A dot in a name is a
 * `-`: else `a.b` would be among the instances of `b`.
 */
export function skydnsFormat(options: SkydnsOptions = {}): InstanceFormat {
  const known = ['namespace', 'domain', 'ttl', 'priority', 'group', 'mail', 'targetstrip'] as const
  const {
    namespace: own,
    domain = 'skydns.local',
    ttl = 10,
    priority = 10,
    group = '',
    mail = false,
    targetstrip = 0,
  } = checkedOptions('skydnsFormat', options, known)
  wholeNumber('ttl', ttl, 1, 86_400)
  wholeNumber('priority', priority, 1, 65_535)
  wholeNumber('targetstrip', targetstrip, 0, 126)
  trueOrFalse('mail', mail)
  if (typeof group !== 'string') throw invalidOption('group', 'a string', group)
  // CoreDNS makes the names in SRV and MX records of all but the first segment of a key.
  if (typeof own === 'string' && !/^\/?[^/]+\/?$/.test(own))
    throw invalidOption(
      'namespace',
      'one segment, such as "/skydns": with more CoreDNS gives wrong targets',
      own,
    )
  if (typeof domain !== 'string' || !DOMAIN.test(domain))
    throw invalidOption('domain', 'a zone such as "skydns.local"', domain)
  return {
    name: 'skydns',
    namespace: separateNamespace(own, '/skydns'),
    // A name is a CNAME, which may not stand beside addresses.
    ...writeOnly({ weight: true, protocol: false, hostNames: false }),

    encode({ id, name, host, port, weight }, { namespace }) {
      // DNS has no weight of 0 that gets nothing.
      if (weight === 0) return []
      const path = `${label(id)}.${serviceLabel(name)}.${domain}`.toLowerCase().split('.').reverse().join('/')
      const value = goJson({
        ...{ host, port, priority, weight },
        ...(mail && { mail }),
        ttl,
        ...(targetstrip > 0 && { targetstrip }),
        ...(group !== '' && { group }),
      })
      // CoreDNS puts a slash before its path where there is none.
      const key = `${namespace}/${path}`.replace(/^\/?/, '/')
      return [{ key, value }]
    },
  }
}

/** A name in one label: else `a.b` would be among the instances of `b`. */
function serviceLabel(name: string): string {
  const plain = name.replaceAll('.', '-').toLowerCase()
  return plain.length <= LONGEST_LABEL ? plain : hashed(plain, name)
}

/** An id in one label, so that the target of an SRV record is a name that can be looked up, and another one for each id. */
function label(id: string): string {
  return HOST_LABEL.test(id) ? id : hashed(id.toLowerCase().replace(/[^a-z0-9-]/g, '-'), id)
}

/** The end says the most of it; `getaddrinfo()` refuses a host that begins with a hyphen. */
function hashed(label: string, text: string): string {
  const hash = createHash('sha256').update(text).digest('hex').slice(0, 8)
  return `${label.slice(-54)}-${hash}`.replace(/^-+/, '')
}
