import { randomBytes } from 'node:crypto'
import { renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { authStateOf } from './auth.ts'
import { findEtcd } from './binary.ts'
import { type Certificate, type EtcdCertificates, issueEtcdCertificates, rsaKeys } from './certificates.ts'
import { endpointUrl } from './endpoint-url.ts'
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
      if (options.auth !== undefined) await members[0]!.enableAuth()
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
  const state = authStateOf(auth)
  const jwt = auth?.tokens === 'jwt' ? await rsaKeys() : undefined
  const token = randomBytes(6).toString('hex')
  const protocol = tls === undefined ? 'http' : 'https'
  const members = []
  for (let index = 1; index <= count; index++) {
    const port = fixedPort ?? (await freePort())
    const listenUrl = `${protocol}://127.0.0.1:${port}`
    const endpoint = endpointUrl('127.0.0.1', port, tls)
    const peerEndpoint = `http://127.0.0.1:${await freePort()}`
    members.push({ name: `etcd-${token}-${index}`, port, listenUrl, endpoint, peerEndpoint })
  }
  const initialCluster = members.map(({ name, peerEndpoint }) => `${name}=${peerEndpoint}`).join(',')

  return members.map(({ name, port, listenUrl, endpoint, peerEndpoint }) => {
    const folder = guardFolder()
    const identity = [
      ...['--name', name, '--initial-advertise-peer-urls', peerEndpoint],
      ...['--initial-cluster', initialCluster, '--initial-cluster-token', token],
    ]
    const args = [
      ...['--data-dir', dataFolder(folder), ...identity],
      ...['--listen-client-urls', listenUrl, '--advertise-client-urls', endpoint],
      ...['--listen-peer-urls', peerEndpoint],
      ...[
        '--logger',
        'zap',
        '--log-outputs',
        'stderr',
        '--log-level',
        logger === undefined ? 'warn' : 'info',
      ],
      ...['--unsafe-no-fsync', '--bcrypt-cost', '4'],
      ...tokenFlags(folder, auth?.tokenTtl, jwt),
      ...(count === 1 ? fastElection : []),
      ...(options.quotaBytes === undefined ? [] : ['--quota-backend-bytes', String(options.quotaBytes)]),
      ...(certificates === undefined
        ? []
        : writeCertificates(folder, certificates, tls?.clientCerts ?? false)),
      ...(options.args ?? []),
    ]
    return planMember({
      ...{ bin, args, folder, name, endpoint, port, peerEndpoint, identity, auth: state, startTimeout },
      tls: certificates?.client,
      authority: certificates?.authority,
      onLine: line => logger?.debug({ etcd: endpoint }, line),
      alone: count === 1,
      replaceServer: certificates && (server => writeServer(folder, server)),
    })
  })
}

/** Puts the PEM files where etcd looks for them, and returns etcd's flags. */
function writeCertificates(
  folder: GuardedFolder,
  { server, client }: EtcdCertificates,
  clientCerts: boolean,
): string[] {
  writeServer(folder, server)
  return [
    ...['--cert-file', join(folder.path, 'server.pem'), '--key-file', join(folder.path, 'server.key')],
    // a trusted authority alone already makes etcd ask for client certificates
    ...(clientCerts
      ? ['--client-cert-auth', '--trusted-ca-file', writeFile(folder, 'ca.pem', client.ca)]
      : []),
  ]
}

/** etcd reads both files again for each connection, so each is there whole at any time. */
function writeServer(folder: GuardedFolder, { cert, key }: Certificate): void {
  const files = { 'server.key': key, 'server.pem': cert }
  for (const [name, pem] of Object.entries(files)) writeFile(folder, `${name}.new`, pem)
  for (const name of Object.keys(files)) renameSync(join(folder.path, `${name}.new`), join(folder.path, name))
}

function tokenFlags(
  folder: GuardedFolder,
  ttl: number | undefined,
  jwt: Awaited<ReturnType<typeof rsaKeys>> | undefined,
): string[] {
  if (jwt === undefined) {
    return ['--auth-token', 'simple', ...(ttl === undefined ? [] : ['--auth-token-ttl', String(ttl)])]
  }
  const parts = [
    'jwt,sign-method=RS256',
    `pub-key=${writeFile(folder, 'jwt.pub', jwt.publicKey)}`,
    `priv-key=${writeFile(folder, 'jwt.key', jwt.privateKey)}`,
    ...(ttl === undefined ? [] : [`ttl=${ttl}s`]),
  ]
  return ['--auth-token', parts.join(',')]
}

function writeFile(folder: GuardedFolder, name: string, text: string): string {
  const path = join(folder.path, name)
  writeFileSync(path, text, { mode: 0o600 })
  return path
}
