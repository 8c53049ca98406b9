import { createSocket } from 'node:dgram'
import type { SrvRecord } from 'node:dns'
import { Resolver } from 'node:dns/promises'

interface SrvTarget {
  host: string
  port: number
}

export interface DnsServer {
  /** By name; may be changed at any time. */
  readonly records: Map<string, SrvTarget[]>
  /** Names that were asked for. */
  readonly questions: readonly string[]
  resolve(name: string): Promise<SrvRecord[]>
  stop(): Promise<void>
}

/** A DNS server on loopback that knows SRV records only. */
export async function startDnsServer(): Promise<DnsServer> {
  const records = new Map<string, SrvTarget[]>()
  const questions: string[] = []
  const socket = createSocket('udp4')
  socket.on('message', (query, { port, address }) => {
    let end = 12
    const labels: string[] = []
    while (query[end] !== 0) {
      labels.push(query.toString('latin1', end + 1, end + 1 + query[end]!))
      end += 1 + query[end]!
    }
    const name = labels.join('.')
    questions.push(name)
    const targets = records.get(name)
    const header = Buffer.alloc(12)
    query.copy(header, 0, 0, 2)
    header.writeUInt16BE(targets === undefined ? 0x8183 : 0x8180, 2)
    header.writeUInt16BE(1, 4)
    header.writeUInt16BE(targets?.length ?? 0, 6)
    const answers = (targets ?? []).map((target, priority) => answer(target, priority))
    socket.send(Buffer.concat([header, query.subarray(12, end + 5), ...answers]), port, address)
  })
  await new Promise<void>(resolve => socket.bind(0, '127.0.0.1', resolve))
  const resolver = new Resolver({ timeout: 1000, tries: 2 })
  resolver.setServers([`127.0.0.1:${socket.address().port}`])
  return {
    records,
    questions,
    resolve: (name: string) => resolver.resolveSrv(name),
    stop: () => new Promise<void>(resolve => socket.close(() => resolve())),
  }
}

/** A record whose name is that of the question. */
function answer({ host, port }: SrvTarget, priority: number): Buffer {
  const target = Buffer.concat([
    ...host.split('.').map(label => Buffer.concat([Buffer.from([label.length]), Buffer.from(label)])),
    Buffer.from([0]),
  ])
  const fixed = Buffer.alloc(18)
  fixed.writeUInt16BE(0xc00c, 0)
  fixed.writeUInt16BE(33, 2)
  fixed.writeUInt16BE(1, 4)
  fixed.writeUInt16BE(6 + target.length, 10)
  fixed.writeUInt16BE(priority, 12)
  fixed.writeUInt16BE(port, 16)
  return Buffer.concat([fixed, target])
}
