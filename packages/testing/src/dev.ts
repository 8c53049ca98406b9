import { parseArgs } from 'node:util'
import { type EmbeddedEtcd, startEtcd } from './embedded-etcd.ts'

const USAGE = `usage: etcd-register-dev [--port <port>] [--host <address>]
  --port  port for clients, 2379 by default; 0 takes a free one
  --host  address to listen on, 127.0.0.1 by default; 0.0.0.0 lets other machines in
Serves etcd's v3 gRPC API for apps in any language on this machine, without etcd. Ctrl-C ends it.`

const { host, port } = readArguments()
const etcd = await startEtcd({ host, port }).catch(giveUp)
const endpoint = etcd.endpoint.replace('//0.0.0.0:', '//127.0.0.1:').replace('//[::]:', '//[::1]:')
const address = endpoint.replace('http://', '')

say(`etcd for development at ${endpoint}
${warning()}
It answers etcd's v3 gRPC API (KV, Watch, Lease, Auth), for apps and tests on this machine.
It is not etcd: one member in one process, everything in memory and gone at the end. For production run an etcd cluster.

  ETCD_ENDPOINTS=${endpoint} node your-app.js
  etcdctl --endpoints ${address} get --prefix ''

Ctrl-C ends it.`)

// an etcd in a process does not keep it alive by itself
const alive = setInterval(() => {}, 2 ** 30)
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  process.once(signal, () => {
    clearInterval(alive)
    void etcd.stop()
  })
}

function readArguments(): { host: string; port: number } {
  try {
    const { values } = parseArgs({
      options: {
        port: { type: 'string', default: '2379' },
        host: { type: 'string', default: '127.0.0.1' },
        help: { type: 'boolean', short: 'h', default: false },
      },
    })
    const port = Number(values.port)
    if (values.help) {
      say(USAGE)
      process.exit(0)
    }
    if (values.host.trim() === '') throw new Error('No address: --host is empty')
    if (!/^\d+$/.test(values.port) || port > 65_535) throw new Error(`No port: ${values.port}`)
    return { host: values.host, port }
  } catch (error) {
    process.stderr.write(`${(error as Error).message}\n${USAGE}\n`)
    process.exit(2)
  }
}

function warning(): string {
  if (/^(127\.|::1$|localhost$)/.test(host)) return ''
  return `
WARNING: it listens on ${host}, open to the network without a password: whoever reaches port ${etcd.port} reads and writes.
`
}

function giveUp(error: NodeJS.ErrnoException): EmbeddedEtcd {
  const reasons: Record<string, string> = {
    EADDRINUSE: `Port ${port} is taken: does an etcd run there already? --port 0 takes a free one.`,
    EADDRNOTAVAIL: `${host} is no address of this machine.`,
    EACCES: `Port ${port} may not be opened by this user.`,
  }
  process.stderr.write(`${reasons[error.code ?? ''] ?? error.message}\n`)
  process.exit(1)
}

function say(text: string): void {
  process.stdout.write(`${text}\n`)
}
