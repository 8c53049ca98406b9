import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { rootToken } from './auth.ts'
import { findEtcdctl } from './binary.ts'
import type { CertificateAuthority, ClientTls } from './certificates.ts'
import type { Etcd } from './etcd.ts'
import { callGateway, type EtcdAddress, etcdRequest } from './etcd-http.ts'
import type { EtcdAuthOptions } from './etcd-options.ts'
import { EtcdStartError, etcdProcess, untilStopped } from './etcd-process.ts'
import { runEtcdctl } from './etcdctl.ts'
import { countOpenStreams, countRequests, parseMetrics } from './metrics.ts'
import type { GuardedFolder } from './watchdog.ts'

/** A running etcd: a process, and what a test can do to it. It does not keep the process alive. */
export interface EtcdMember extends Etcd {
  readonly name: string
  /** Undefined while it is killed or stopped. */
  readonly pid: number | undefined
  /** The last log lines, up to 200, since the last start. */
  readonly log: readonly string[]
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
  readonly auth: EtcdAuthOptions | undefined
  readonly startTimeout: number
  readonly onLine: (line: string) => void
  /** Sets the store up again after it was emptied; undefined where one member cannot be emptied alone. */
  readonly prepare: ((etcd: EtcdAddress) => Promise<void>) | undefined
}

/** A member that is not started yet, and its start. */
export function planMember(plan: MemberPlan): { member: EtcdMember; start: () => Promise<void> } {
  const { endpoint, tls, auth, folder, name } = plan
  const address: EtcdAddress = { endpoint, tls }
  const child = etcdProcess(plan.bin, plan.args, folder.pidFile, plan.onLine)
  let stopping: Promise<void> | undefined

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
    async freeze() {
      const { pid } = child
      if (pid === undefined) throw new Error('There is no running etcd to freeze')
      child.signal('SIGSTOP')
      await untilStopped(pid)
    },
    thaw: () => child.signal('SIGCONT'),
    async restart({ wipe = false } = {}) {
      if (stopping !== undefined) throw new Error('This etcd is stopped')
      const { prepare } = plan
      if (wipe && prepare === undefined) throw new Error('One member of a cluster cannot be emptied alone')
      await child.kill()
      if (wipe) rmSync(dataFolder(folder), { recursive: true, force: true })
      await startAgain()
      if (wipe) await prepare?.(address)
    },
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
      return await runEtcdctl(findEtcdctl(plan.bin), { endpoint, tls, auth }, args)
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
