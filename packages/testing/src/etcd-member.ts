import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { type AuthState, disableAuth, enableAuth, rootLogin, rootToken } from './auth.ts'
import { findEtcdctl } from './binary.ts'
import type { Certificate, CertificateAuthority, CertificateOptions, ClientTls } from './certificates.ts'
import type { Etcd } from './etcd.ts'
import { callGateway, type EtcdAddress, etcdRequest } from './etcd-http.ts'
import { EtcdStartError, etcdProcess } from './etcd-process.ts'
import { runEtcdctl } from './etcdctl.ts'
import { countOpenStreams, countRequests, parseMetrics } from './metrics.ts'
import { type EtcdSnapshot, planRestore, type RestoreOptions } from './snapshot.ts'
import type { GuardedFolder } from './watchdog.ts'

/** A running etcd: a process, and what a test can do to it. It does not keep the process alive. */
export interface EtcdMember extends Etcd {
  readonly name: string
  /** Undefined while it is killed or stopped. */
  readonly pid: number | undefined
  /** The last log lines, up to 200, since the last start. */
  readonly log: readonly string[]
  /** Backs the store up, as `etcdctl snapshot save` does. Needs etcdctl. */
  snapshot(): Promise<EtcdSnapshot>
  /**
   * Ends it, puts back what a snapshot of it holds, and starts it on the same port: its revision is that of the snapshot
   * or nearly so. Needs etcdctl (3.4, 3.5) or etcdutl (3.6 and newer), next to etcd or on PATH.
   */
  restore(snapshot: EtcdSnapshot, options?: RestoreOptions): Promise<void>
  /**
   * Gives the server another certificate of its authority and a new key, by default valid for a week. They count for
   * connections from now on; those that are open stay.
   */
  replaceCertificate(options?: CertificateOptions): Promise<void>
}

/** Everything decided about a member before it is started. */
export interface MemberPlan {
  readonly bin: string
  readonly args: readonly string[]
  readonly folder: GuardedFolder
  readonly name: string
  readonly endpoint: string
  readonly port: number
  readonly peerEndpoint: string
  readonly tls: ClientTls | undefined
  readonly authority: CertificateAuthority | undefined
  readonly auth: AuthState
  /** Flags that name the member and its cluster. */
  readonly identity: readonly string[]
  readonly startTimeout: number
  readonly onLine: (line: string) => void
  /** Whether it is the only member: one of several cannot be emptied or restored alone. */
  readonly alone: boolean
  /** Undefined without TLS. */
  readonly replaceServer: ((server: Certificate) => void) | undefined
}

/** A member that is not started yet, and its start. */
export function planMember(plan: MemberPlan): { member: EtcdMember; start: () => Promise<void> } {
  const { endpoint, tls, auth, folder, name } = plan
  const address: EtcdAddress = { endpoint, tls }
  const child = etcdProcess(plan.bin, plan.args, folder.pidFile, plan.onLine)
  let stopping: Promise<void> | undefined
  let snapshots = 0

  function checkNotStopped() {
    if (stopping !== undefined) throw new Error('This etcd is stopped')
  }

  async function isReady(): Promise<boolean> {
    try {
      // The peer port tells whether it is our process that listens, not another one on a port we lost to it.
      const peers = await etcdRequest({ endpoint: plan.peerEndpoint }, '/members', { timeout: 1000 })
      if (!peers.includes(`"${name}"`)) return false
      return (await etcdRequest(address, '/health', { timeout: 1000 })).includes('"true"')
    } catch {
      return false
    }
  }

  const start = () => child.start(isReady, plan.startTimeout)

  /** A port that was ours a moment ago can be busy for as long. */
  async function startAgain(): Promise<void> {
    for (let tries = 1; ; tries++) {
      try {
        return await start()
      } catch (error) {
        if (!(error instanceof EtcdStartError && error.addressInUse) || tries === 5) throw error
      }
    }
  }

  const member: EtcdMember = {
    endpoint,
    port: plan.port,
    name,
    tls,
    authority: plan.authority,
    log: child.log,
    get pid() {
      return child.pid
    },
    kill: () => child.kill(),
    freeze: () => child.freeze(),
    thaw: () => child.signal('SIGCONT'),
    async restart({ wipe = false } = {}) {
      checkNotStopped()
      if (wipe && !plan.alone) throw new Error('One member of a cluster cannot be emptied alone')
      await child.kill()
      if (wipe) rmSync(dataFolder(folder), { recursive: true, force: true })
      await startAgain()
      if (wipe && auth.enabled) {
        auth.enabled = false
        await enableAuth(address, auth)
      }
    },
    async snapshot() {
      const { enabled } = auth
      snapshots += 1
      const path = join(folder.path, `snapshot-${snapshots}.db`)
      await member.etcdctl('snapshot', 'save', path)
      return { path, auth: enabled }
    },
    async restore(snapshot, options = {}) {
      checkNotStopped()
      if (!plan.alone) throw new Error('One member of a cluster cannot be restored alone')
      const restore = await planRestore(plan.bin, snapshot, options)
      await child.kill()
      await restore(dataFolder(folder), plan.identity)
      auth.enabled = snapshot.auth
      await startAgain()
    },
    async replaceCertificate(options) {
      if (plan.replaceServer === undefined)
        throw new Error('This etcd has no TLS: start it with the option tls')
      plan.replaceServer(await plan.authority!.issue(options))
    },
    enableAuth: users => enableAuth(address, auth, users),
    disableAuth: () => disableAuth(address, auth),
    async compact(revision) {
      const token = await rootToken(address, auth)
      const probe = { key: Buffer.from('/').toString('base64'), count_only: true }
      const answer = await callGateway<{ header: { revision: string } }>(address, '/kv/range', probe, token)
      const upTo = BigInt(revision ?? answer.header.revision)
      const body = { revision: String(upTo), physical: true }
      await callGateway(address, '/kv/compaction', body, token).catch(error => {
        if (!String(error).includes('has been compacted')) throw error
      })
      return upTo
    },
    async etcdctl(...args) {
      return await runEtcdctl(findEtcdctl(plan.bin), { endpoint, tls, auth: rootLogin(auth) }, args)
    },
    wipe: () => member.restart({ wipe: true }),
    async requests() {
      return countRequests(await member.metrics())
    },
    async metrics() {
      return parseMetrics(await etcdRequest(address, '/metrics'))
    },
    async openStreams(method) {
      return countOpenStreams(await member.metrics(), method)
    },
    stop() {
      stopping ??= child.kill().then(() => folder.release())
      return stopping
    },
    [Symbol.asyncDispose]: () => member.stop(),
  }
  return { member, start }
}

/** Where a member keeps its store. */
export function dataFolder(folder: GuardedFolder): string {
  return join(folder.path, 'data')
}
