import type { SrvLookup } from '../options/hosts.ts'
import type { ResolvedEtcdOptions } from '../options/options.ts'
import { EtcdRegisterError } from '../support/errors.ts'
import { isHost, isPort } from '../support/host.ts'
import { quoted, shown } from '../support/text.ts'
import { openTransport, type Transport } from './transport.ts'

/**
 * The transport of a registry: opened with the first request, and again where that failed. Where the members come from DNS
 * SRV records, they are looked up first, and again once none of them could be reached.
 */
export class TransportSource {
  readonly #options: ResolvedEtcdOptions
  readonly #holdsLease: () => boolean
  #hosts: readonly string[]
  #transport: Promise<Transport> | undefined
  #opened: Transport | undefined
  #outdated = false

  /** `holdsLease`: whether a lease is lost unless it is renewed. */
  constructor(options: ResolvedEtcdOptions, holdsLease: () => boolean) {
    this.#options = options
    this.#holdsLease = holdsLease
    this.#hosts = options.hosts
  }

  /** Empty until the SRV records were looked up. */
  get hosts(): readonly string[] {
    return this.#hosts
  }

  /** For messages. */
  get where(): string {
    return this.#hosts.length > 0 ? this.#hosts.join(', ') : (this.#options.srv?.name ?? '')
  }

  /** The transport, once it is there. */
  get opened(): Transport | undefined {
    return this.#opened
  }

  /** Of ours, as the last connection used it. */
  get certificate(): Buffer | undefined {
    return this.#opened === undefined ? this.#options.tls.cert : this.#opened.certificate
  }

  /** Rejects with `ERR_ETCD_UNAVAILABLE` where there are no SRV records, or `ERR_ETCD_CLIENT`. */
  get(): Promise<Transport> {
    if (this.#transport === undefined || this.#outdated) {
      this.#outdated = false
      const opening = this.#open(this.#transport)
      this.#transport = opening
      opening.then(
        transport => {
          this.#opened = transport
        },
        () => {
          if (this.#transport === opening) this.#transport = undefined
        },
      )
    }
    return this.#transport
  }

  /** No member could be reached. */
  failed(): void {
    this.#outdated = this.#options.srv !== undefined
  }

  async close(): Promise<void> {
    const transport = await this.#transport?.catch(() => undefined)
    transport?.close()
  }

  async #open(opened: Promise<Transport> | undefined): Promise<Transport> {
    const { srv } = this.#options
    if (srv === undefined) return openTransport(this.#options, this.#holdsLease)
    const before = await opened?.catch(() => undefined)
    const hosts = await lookUp(srv).catch(error => {
      // Members that were found before may come back.
      if (before !== undefined) return this.#hosts
      throw error
    })
    if (before !== undefined && hosts.join() === this.#hosts.join()) return before
    const transport = await openTransport({ ...this.#options, hosts }, this.#holdsLease)
    this.#hosts = hosts
    // Streams on members that still answer go on.
    before?.close()
    return transport
  }
}

/** `host:port` of each record, by priority. */
async function lookUp({ name, resolve }: SrvLookup): Promise<string[]> {
  const records = await resolve(name).catch((cause: Error) => {
    throw noRecords(name, shown(cause.message), cause)
  })
  if (records.length === 0) throw noRecords(name, 'there are none')
  const usable = records.filter(record => isHost(record.name) && isPort(record.port))
  if (usable.length === 0) throw noRecords(name, `${quoted(records[0]!.name)} is no host`)
  const sorted = usable.sort(
    (one, other) =>
      one.priority - other.priority || `${one.name}:${one.port}`.localeCompare(`${other.name}:${other.port}`),
  )
  return [...new Set(sorted.map(record => `${record.name.replace(/\.$/, '')}:${record.port}`))]
}

function noRecords(name: string, reason: string, cause?: Error): EtcdRegisterError {
  return new EtcdRegisterError(
    'ERR_ETCD_UNAVAILABLE',
    `No members of etcd are known: the SRV records of ${name} cannot be read (${reason}). Is the domain in "hosts" or ETCDCTL_DISCOVERY_SRV right?`,
    { cause },
  )
}
