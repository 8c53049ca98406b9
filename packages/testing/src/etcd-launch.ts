import { randomBytes } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { enableAuth } from './auth.ts'
import { findEtcd } from './binary.ts'
import { type EtcdCertificates, issueEtcdCertificates } from './certificates.ts'
import { dataFolder, type EtcdMember, planMember } from './etcd-member.ts'
import type { EtcdOptions, EtcdTlsOptions } from './etcd-options.ts'
import { EtcdStartError } from './etcd-process.ts'
import { freePort } from './free-port.ts'
import { type GuardedFolder, guardFolder } from './watchdog.ts'

const tries = 5

// One member elects itself after up to one election timeout: 100 ms instead of etcd's 1000 ms.
const fastElection = ['--heartbeat-interval', '10', '--election-timeout', '100']

/** Starts members that form one etcd; another set of ports is tried when somebody else took one of them. */
export async function launchMembers(
  count: number,
  options: EtcdOptions,
  fixedPort: number | undefined,
): Promise<EtcdMember[]> {
  const bin = findEtcd(options.bin)
  const tls = options.tls === true ? {} : options.tls === false ? undefined : options.tls
  const certificates = tls === undefined ? undefined : await issueEtcdCertificates(tls)
  for (let attempt = 1; ; attempt++) {
    const planned = await planMembers(count, options, { bin, tls, certificates, fixedPort })
    try {
      await Promise.all(planned.map(({ start }) => start()))
      const members = planned.map(({ member }) => member)
      if (options.auth !== undefined) await enableAuth(members[0]!, options.auth)
      return members
    } catch (error) {
      await Promise.all(planned.map(({ member }) => member.stop()))
      const lostPort = error instanceof EtcdStartError && error.addressInUse
      if (!lostPort || fixedPort !== undefined || attempt === tries) throw error
    }
  }
}

interface Decided {
  bin: string
  tls: EtcdTlsOptions | undefined
  certificates: EtcdCertificates | undefined
  fixedPort: number | undefined
}

async function planMembers(count: number, options: EtcdOptions, decided: Decided) {
  const { bin, tls, certificates, fixedPort } = decided
  const { auth, logger, startTimeout = 20_000 } = options
  const token = randomBytes(6).toString('hex')
  const protocol = tls === undefined ? 'http' : 'https'
  const members = []
  for (let index = 1; index <= count; index++) {
    const port = fixedPort ?? (await freePort())
    const endpoint = `${protocol}://127.0.0.1:${port}`
    const peerEndpoint = `http://127.0.0.1:${await freePort()}`
    members.push({ name: `etcd-${token}-${index}`, port, endpoint, peerEndpoint })
  }
  const initialCluster = members.map(({ name, peerEndpoint }) => `${name}=${peerEndpoint}`).join(',')

  return members.map(({ name, port, endpoint, peerEndpoint }) => {
    const folder = guardFolder()
    const args = [
      ...['--name', name, '--data-dir', dataFolder(folder)],
      ...['--listen-client-urls', endpoint, '--advertise-client-urls', endpoint],
      ...['--listen-peer-urls', peerEndpoint, '--initial-advertise-peer-urls', peerEndpoint],
      ...['--initial-cluster', initialCluster, '--initial-cluster-token', token],
      ...[
        '--logger',
        'zap',
        '--log-outputs',
        'stderr',
        '--log-level',
        logger === undefined ? 'warn' : 'info',
      ],
      ...['--unsafe-no-fsync', '--bcrypt-cost', '4', '--auth-token', 'simple'],
      ...(count === 1 ? fastElection : []),
      ...(auth?.tokenTtl === undefined ? [] : ['--auth-token-ttl', String(auth.tokenTtl)]),
      ...(options.quotaBytes === undefined ? [] : ['--quota-backend-bytes', String(options.quotaBytes)]),
      ...(certificates === undefined
        ? []
        : writeCertificates(folder, certificates, tls?.clientCerts ?? false)),
      ...(options.args ?? []),
    ]
    return planMember({
      ...{ bin, args, folder, name, endpoint, port, peerEndpoint, auth, startTimeout },
      tls: certificates?.client,
      authority: certificates?.authority,
      onLine: line => logger?.debug({ etcd: endpoint }, line),
      prepare: count > 1 ? undefined : async etcd => auth && enableAuth(etcd, auth),
    })
  })
}

/** Puts the PEM files where etcd looks for them, and returns etcd's flags. */
function writeCertificates(
  folder: GuardedFolder,
  { server, client }: EtcdCertificates,
  clientCerts: boolean,
): string[] {
  const write = (name: string, pem: string) => {
    const path = join(folder.path, name)
    writeFileSync(path, pem, { mode: 0o600 })
    return path
  }
  const ca = write('ca.pem', client.ca)
  return [
    ...['--cert-file', write('server.pem', server.cert), '--key-file', write('server.key', server.key)],
    // a trusted authority alone already makes etcd ask for client certificates
    ...(clientCerts ? ['--client-cert-auth', '--trusted-ca-file', ca] : []),
  ]
}
