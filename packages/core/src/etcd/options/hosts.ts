import type { SrvRecord } from 'node:dns'
import { Resolver } from 'node:dns/promises'
import { isIP } from 'node:net'
import { invalidOption, kindOf } from '../support/errors.ts'
import { isHost, isPort } from '../support/host.ts'
import { QUERY } from '../support/text.ts'

/** DNS SRV records that name the members of etcd. */
export interface SrvLookup {
  name: string
  resolve(name: string): Promise<readonly Pick<SrvRecord, 'name' | 'port' | 'priority'>[]>
}

interface HostsOptions {
  hosts?: string | string[] | undefined
  tls?: object | undefined
}

interface ResolvedHosts {
  /** `host:port`; empty where SRV records name the members. */
  hosts: string[]
  secure: boolean
  srv?: SrvLookup
  /** Whose SRV records these are. */
  domain?: string
}

const HOST_URL = /^(?:(https?):\/\/)?(\[[0-9a-fA-F:.]+\]|[^/:@[\]?#]+)(?::(\d+))?(?:\/+$|([/?#].*))?$/is
const SCHEME = /^(?:\w+:\/\/)?/
const SRV_URL = /^srv\+(https?):\/\/([^/:@]+)\/?$/i

/** Each asks for TLS. */
const TLS_VARIABLES = ['CACERT', 'CERT', 'KEY'].flatMap(name => [`ETCD_${name}`, `ETCDCTL_${name}`])

const RULE = 'one or more etcd client URLs, such as "http://127.0.0.1:2379"'

/** Throws `ERR_INVALID_OPTION`. Variables that are empty are left out of `env`. */
export function resolveHosts(options: HostsOptions, env: NodeJS.ProcessEnv): ResolvedHosts {
  const needsTls = reasonForTls(options, env)
  const scheme = needsTls === undefined && env.ETCDCTL_INSECURE_TRANSPORT !== 'false' ? 'http' : 'https'
  const { given, source } = givenHosts(options, env, scheme)
  const parts: unknown = typeof given === 'string' ? given.split(',') : given
  const list = Array.isArray(parts) ? parts.filter(part => !isEmpty(part)) : []
  if (list.length === 0) {
    const [first = given] = Array.isArray(given) ? given : []
    throw invalidOption(source, RULE, first)
  }
  // Before anything else: a password can hold a comma, which makes two parts of it.
  const whole = list.join(',')
  if (whole.includes('@')) {
    const rule = 'without a user and a password, which the option "auth" takes'
    // What follows the last @ can be the end of a password, too.
    throw invalidOption(source, rule, `${SCHEME.exec(whole.trim())}***@***`)
  }
  const srv = list.length === 1 ? SRV_URL.exec(String(list[0]).trim()) : null
  if (srv !== null) {
    const [, srvScheme, domain = ''] = srv
    if (!isHost(domain) || isIP(domain) > 0)
      throw invalidOption(source, 'a domain after srv+https://', domain)
    const secure = srvScheme!.toLowerCase() === 'https'
    if (needsTls && !secure) throw invalidOption(source, `srv+https:// where ${needsTls}`, list)
    const lookup = { name: srvName(domain, secure, options, env), resolve: resolveSrv }
    return { hosts: [], secure, srv: lookup, domain: domain.replace(/\.$/, '') }
  }
  const urls = list.map((entry: unknown) => {
    if (typeof entry !== 'string') throw invalidOption(source, RULE, kindOf(entry))
    const text = entry.trim()
    const url = HOST_URL.exec(text)
    const host = url?.[2]?.replace(/^\[|\]$/g, '') ?? ''
    const port = Number(url?.[3] ?? 2379)
    if (/^srv\+/i.test(text))
      throw invalidOption(
        source,
        'one "srv+https://example.org" alone, without a port, which the records have',
        shownHost(text),
      )
    if (!url || !isHost(host) || (url[2]!.startsWith('[') && isIP(host) !== 6) || !isPort(port)) {
      throw invalidOption(source, RULE, shownHost(text))
    }
    const given = url[1]?.toLowerCase() ?? scheme
    const authority = `${url[2]}:${port}`
    if (url[4] !== undefined) {
      const rule = `without a path or a query, which gRPC does not have: "${given}://${authority}"`
      throw invalidOption(source, rule, shownHost(text.replace(QUERY, '?...')))
    }
    return { scheme: given, host: authority }
  })
  const secure = urls[0]!.scheme === 'https'
  if (urls.some(({ scheme }) => (scheme === 'https') !== secure)) {
    throw invalidOption(source, 'all http:// or all https://', list)
  }
  if (needsTls && !secure) throw invalidOption(source, `https:// where ${needsTls}`, list)
  return { hosts: [...new Set(urls.map(({ host }) => host))], secure }
}

/** What does not belong into a host: what stands for a port and is none, or is encoded, can be a password. */
const NO_HOST = /%|:(?!\/\/|\d{1,5}(?:["',/?#\s]|$))/

function shownHost(text: string): string {
  if (isIP(text) > 0) return text
  const withoutIpv6 = text.replace(/\[[\da-fA-F:.]*\]/g, address => '_'.repeat(address.length))
  const at = withoutIpv6.search(NO_HOST)
  return at === -1 ? text : `${text.slice(0, at + 1)}***`
}

function reasonForTls({ tls }: HostsOptions, env: NodeJS.ProcessEnv): string | undefined {
  if (tls) return 'the option "tls" is given'
  const variable = TLS_VARIABLES.find(name => env[name] !== undefined)
  return variable && `${variable} is set`
}

/** And the name of the option, with the variable that it came from. */
function givenHosts(
  { hosts }: HostsOptions,
  env: NodeJS.ProcessEnv,
  scheme: string,
): { given: unknown; source: string } {
  if (hosts !== undefined) return { given: hosts, source: 'hosts' }
  const from = (variable: string) => `hosts (from ${variable})`
  for (const variable of ['ETCD_ENDPOINTS', 'ETCDCTL_ENDPOINTS']) {
    const given = env[variable]
    if (given !== undefined) return { given, source: from(variable) }
  }
  const { ETCDCTL_DISCOVERY_SRV: domain } = env
  if (domain !== undefined)
    return { given: `srv+${scheme}://${domain}`, source: from('ETCDCTL_DISCOVERY_SRV') }
  return { given: '127.0.0.1:2379', source: 'hosts' }
}

/** What a comma too many leaves, here or in what somebody has split. */
function isEmpty(part: unknown): boolean {
  return typeof part === 'string' && part.trim() === ''
}

function srvName(domain: string, secure: boolean, { hosts }: HostsOptions, env: NodeJS.ProcessEnv): string {
  const listed = hosts ?? env.ETCD_ENDPOINTS ?? env.ETCDCTL_ENDPOINTS
  const suffix = listed === undefined ? env.ETCDCTL_DISCOVERY_SRV_NAME : undefined
  if (suffix !== undefined && !isHost(suffix)) {
    throw invalidOption('hosts (from ETCDCTL_DISCOVERY_SRV_NAME)', 'a part of a domain name', suffix)
  }
  return `_etcd-client${secure ? '-ssl' : ''}${suffix === undefined ? '' : `-${suffix}`}._tcp.${domain}`
}

/** By the servers of the machine, in some seconds. */
function resolveSrv(name: string): Promise<SrvRecord[]> {
  return new Resolver({ timeout: 2000, tries: 2 }).resolveSrv(name)
}
